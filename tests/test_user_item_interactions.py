"""The example of user-item interactions multiplies as recommending does, and its picture can be read."""

import importlib.util
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.image import imread

PATH = Path(__file__).parents[1] / "examples" / "user_item_interactions.py"
LONG = "A very long title: the $100 sequel of the return of the title"


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("user_item_interactions", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def table(tmp_path):
    """Interactions of 9 users, each with 20 of the 40 items, in a file."""
    rows = [(user, f"item {(3 * user + step) % 40}", step) for user in range(9) for step in range(20)]
    pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row").write_csv(tmp_path / "table.csv")
    return tmp_path / "table.csv"


def test_a_plain_tensor_gives_a_score_of_each_item(example, capsys):
    assert example.from_a_plain_tensor().shape == (1, 100)
    assert "sequence [[1, 2, 3, 4, 5]]: users (1, 64) @ items (64, 100)" in capsys.readouterr().out


def test_products_rank_as_recommend_does(example, recommender):
    histories = [["item 3"], [f"item {index}" for index in range(30)]]
    users, items = example.encode(recommender, histories)
    for history, scores in zip(histories, (users @ items.T).tolist(), strict=True):
        found = recommender.recommend(history, k=40, exclude_seen=False)
        expected = [scores[recommender.item_ids.index(one.item_id)] for one in found]
        assert [one.score for one in found] == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("model_type", ["sasrec"])
def test_each_user_s_best_items_are_unseen_and_shown_once(example, recommender):
    histories = [["item 3"], ["item 3"], ["item 9", "item 7"]]
    users, items = example.encode(recommender, histories)
    chosen = example.best_unseen(recommender, histories, users @ items.T, 2)
    assert len({*chosen}) == 6
    names = [recommender.item_ids[row] for row in chosen]
    first = [one.item_id for one in recommender.recommend(histories[0], k=4)]
    assert names[:4] == first


def test_users_are_chosen_for_their_differences(example):
    users = torch.tensor([[1.0, 0], [0.9, 0.1], [0, 1], [-2, 0]])
    assert example.least_alike(users, 3) == [0, 3, 2]
    assert sorted(example.least_alike(users, 9)) == [0, 1, 2, 3]


@pytest.mark.parametrize("model_type", ["sasrec"])
def test_it_draws_a_saved_model(example, folder, table, tmp_path, capsys):
    output = tmp_path / "new" / "heat_map.png"
    example.main(["--model", str(folder), "--dataset", str(table), "--output", str(output)])
    assert "Wrote the scores of 6 users for 12 items" in capsys.readouterr().out
    height, width = imread(output).shape[:2]
    assert 800 < width < 1600
    assert 400 < height < width


@pytest.mark.parametrize("model_type", ["sasrec"])
def test_without_a_folder_it_trains_a_model(example, recommender, table, tmp_path, monkeypatch):
    monkeypatch.setattr(example, "trained_model", lambda: recommender)
    example.main(["--dataset", str(table), "--output", str(tmp_path / "heat_map.png")])
    assert (tmp_path / "heat_map.png").stat().st_size > 10_000


@pytest.mark.parametrize("model_type", ["sasrec"])
@pytest.mark.parametrize("choices", [{"time_encoding": "relative"}], ids=["times"])
def test_a_model_that_reads_more_than_items_is_refused(example, recommender):
    with pytest.raises(SystemExit, match="it reads input_ids, timestamps: pass them to encode_users"):
        example.encode(recommender, [["item 1"]])


def test_no_title_is_cut_or_covers_another(example):
    names = [example.label(f"{index} {LONG}") for index in range(12)]
    users = [f"user {index}, after {example.label(LONG)}" for index in range(6)]
    figure = example.heat_map(torch.linspace(-2, 3, 72).reshape(6, 12), users, names)
    FigureCanvasAgg(figure).draw()
    axis = figure.axes[0]
    texts = [*axis.get_xticklabels(), *axis.get_yticklabels(), axis.title, *axis.texts]
    assert [text.get_text() for text in axis.get_xticklabels()] == names
    boxes = [text.get_window_extent() for text in texts]
    whole = figure.bbox
    assert all(box.x0 >= 0 and box.y0 >= 0 and box.x1 <= whole.x1 and box.y1 <= whole.y1 for box in boxes)
    rows = sorted((label.get_window_extent() for label in axis.get_yticklabels()), key=lambda box: box.y0)
    assert all(below.y1 < above.y0 for below, above in pairwise(rows))
    # Slanted titles do not touch if their baselines are further apart than their letters are high.
    ends = [label.get_window_extent().x1 for label in axis.get_xticklabels()]
    assert min(right - left for left, right in pairwise(ends)) > 1.5 * rows[0].height
