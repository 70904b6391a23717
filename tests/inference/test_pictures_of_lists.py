"""Pictures of attention, of reasons, and of the popularity of lists show the model's own numbers."""

from itertools import combinations, pairwise

import numpy as np
import polars as pl
import pytest
import torch
from matplotlib.image import imread

from seqrec.errors import InputError
from seqrec.evaluation.picture_style import new_figure
from seqrec.inference import attention_picture, contributions_picture, popularity_picture
from seqrec.inference.attention_picture import attention_weights, save_attention
from seqrec.inference.contributions_picture import as_matrix, draw_contributions, save_contributions, strongest
from seqrec.inference.popularity_picture import draw_bands, recommended_counts, save_popularity

HISTORY = ["item 5", "item 9", "item 7"]
TIMES = ["2024-01-01", "2024-01-02", "2024-01-05"]
LONG = "A very long title: the $100 sequel of the return of the title"
CHOICES = {"items": {}, "times": {"time_encoding": "relative", "request_time": "target"}}
every_choice = pytest.mark.parametrize("choices", CHOICES.values(), ids=CHOICES)
only_sasrec = pytest.mark.parametrize("model_type", ["sasrec"])
with_attention = pytest.mark.parametrize("model_type", ["sasrec", "esasrec", "bert4rec"])


def asked(recommender):
    """Return the times of a request, if the model reads them."""
    return {"timestamps": TIMES, "at": "2024-01-09"} if recommender.model.config.reads_time else {}


@pytest.fixture
def table():
    """Interactions of 9 users."""
    rows = [(user, f"item {(3 * user + step) % 40}", step) for user in range(9) for step in range(20)]
    return pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")


@with_attention
@every_choice
def test_attention_weights_are_shares_of_each_layer_and_head(recommender):
    before = recommender.model.config._attn_implementation
    layers, names = attention_weights(recommender, HISTORY, **asked(recommender))
    is_causal = recommender.model.objective.is_causal
    assert names == [f"Title of {item_id}" for item_id in HISTORY] + ([] if is_causal else ["(next item)"])
    assert len(layers) == 2
    for weights in layers:
        assert weights.shape == (2, len(names), len(names))
        np.testing.assert_allclose(weights.sum(axis=-1), 1, atol=1e-5)
        assert (np.triu(weights, 1) == 0).all() == is_causal
    assert recommender.model.config._attn_implementation == before
    assert recommender.model.model.config._attn_implementation == before


@with_attention
def test_attention_weights_are_those_that_mix_the_values(recommender):
    """The first layer's output follows from its weights and values."""
    model, captured = recommender.model, {}
    attention = next(module for name, module in model.named_modules() if type(module).__name__ == "SelfAttention")
    handles = [
        attention.query_key_value.register_forward_hook(lambda _, inputs, found: captured.update(projected=found)),
        attention.output.register_forward_hook(lambda _, inputs, found: captured.update(mixed=inputs[0])),
    ]
    (weights, *_), names = attention_weights(recommender, HISTORY)
    for handle in handles:
        handle.remove()
    values = captured["projected"].view(1, len(names), 3, 2, 8)[0, :, 2]
    expected = torch.einsum("hlm,mhe->lhe", torch.from_numpy(weights), values).flatten(1)
    torch.testing.assert_close(captured["mixed"][0], expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("model_type", ["hstu"])
def test_a_model_without_attention_weights_is_refused(recommender, tmp_path):
    with pytest.raises(InputError, match=r"The model \(hstu\) has no attention weights that sum to 1"):
        save_attention(recommender, HISTORY, tmp_path / "attention.png")


@with_attention
@pytest.mark.parametrize("limit", [4, 20])
def test_attention_is_drawn(recommender, tmp_path, monkeypatch, limit):
    monkeypatch.setattr(attention_picture, "MOST_POSITIONS", limit)
    save_attention(recommender, [f"item {index}" for index in range(30)], tmp_path / "attention.png")
    assert imread(tmp_path / "attention.png").shape[1] == 864


def test_pictures_of_attention_say_what_they_leave_out():
    assert attention_picture.limits(5, 5, 2, 2, 4, 4) == ""
    told = attention_picture.limits(20, 87, 4, 6, 4, 8)
    assert told == "\n(the newest 20 of 87 positions, the last 4 of 6 layers, the first 4 of 8 heads)"


@every_choice
def test_the_matrix_holds_the_reasons(recommender):
    item_ids = [one.item_id for one in recommender.recommend(HISTORY, k=3, **asked(recommender))]
    reasons = recommender.explain(HISTORY, item_ids, **asked(recommender))
    matrix, names = as_matrix(reasons, item_ids)
    assert names[:3] == [f"Title of {item_id}" for item_id in HISTORY]
    assert names[3:] == (["(times)"] if recommender.model.config.reads_time else [])
    for column, item_id in enumerate(item_ids):
        own = reasons.filter(pl.col("recommended") == item_id)
        items = own.filter(pl.col("source") == "item").sort("position", descending=True)
        np.testing.assert_array_equal(matrix[:3, column], items["contribution"].to_numpy())
        if names[3:]:
            assert matrix[3, column] == own.filter(pl.col("source") == "times")["contribution"].item()


def test_the_strongest_rows_are_shown_in_their_order(monkeypatch):
    monkeypatch.setattr(contributions_picture, "MOST_EVENTS", 2)
    rows, note = strongest(np.array([[0.1, 0], [-3, 2], [0, 0], [1, 1]]))
    assert rows.tolist() == [1, 3]
    assert note == ": the strongest 2 of 4"
    rows, note = strongest(np.ones((2, 5)))
    assert (rows.tolist(), note) == ([0, 1], "")


@every_choice
def test_reasons_are_drawn(recommender, tmp_path):
    save_contributions(recommender, HISTORY, tmp_path / "reasons.png", k=15, **asked(recommender))
    assert imread(tmp_path / "reasons.png").shape[1] == 864


def test_long_titles_are_neither_cut_nor_cover_each_other():
    figure = new_figure(7.2, 6)
    names = [f"{index} {LONG}"[:30] for index in range(20)]
    matrix = np.linspace(-1, 2, 200).reshape(20, 10)
    draw_contributions(figure.add_subplot(), matrix, names, names[:10])
    figure.canvas.draw()
    axis, whole = figure.axes[0], figure.bbox
    texts = [*axis.get_xticklabels(), *axis.get_yticklabels(), *axis.texts]
    boxes = [text.get_window_extent() for text in texts]
    assert all(box.x0 >= 0 and box.y0 >= 0 and box.x1 <= whole.x1 and box.y1 <= whole.y1 for box in boxes)
    rows = sorted((label.get_window_extent() for label in axis.get_yticklabels()), key=lambda box: box.y0)
    assert all(below.y1 < above.y0 for below, above in pairwise(rows))
    numbers = [text.get_window_extent() for text in axis.texts]
    assert not any(one.overlaps(other) for one, other in combinations(numbers, 2))
    ends = [label.get_window_extent().x1 for label in axis.get_xticklabels()]
    assert min(right - left for left, right in pairwise(ends)) > 1.5 * rows[0].height


def test_numbers_have_no_negative_zero():
    axis = new_figure(3, 3).add_subplot()
    draw_contributions(axis, np.array([[-0.001, 0.5], [-0.5, 12]]), ["a", "b"], ["c", "d"])
    assert [text.get_text() for text in axis.texts] == ["0.0", "0.5", "−0.5", "12.0"]


@every_choice
def test_popularity_is_drawn(recommender, table, tmp_path):
    is_timed = recommender.model.config.reads_time
    dated = table.with_columns(pl.col("timestamp") * 86_400 + 1_600_000_000) if is_timed else table
    at = {"at": "2020-12-01"} if is_timed else {}
    save_popularity(recommender, dated, tmp_path / "popularity.png", k=5, **at)
    assert imread(tmp_path / "popularity.png").shape[1] == 864


@only_sasrec
def test_bars_are_shares_of_lists_interactions_and_items(recommender, table):
    lists = recommender.recommend_frame(table, 5)
    shown = recommended_counts(recommender, lists)
    counted = dict(lists["item_id"].value_counts().iter_rows())
    assert shown.tolist() == [counted.get(item_id, 0) for item_id in recommender.item_ids]
    axis = new_figure(3, 3).add_subplot()
    draw_bands(axis, np.array([4, 4, 1, 1, 1, 1]), np.array([8, 0, 1, 0, 1, 0]))
    heights = {group.get_label(): [bar.get_height() for bar in group] for group in axis.containers}
    assert heights["interactions"] == pytest.approx([8 / 12, 0, 4 / 12])
    assert heights["recommendations"] == pytest.approx([0.8, 0, 0.2])
    assert heights["items of the catalogue"] == pytest.approx([2 / 6, 0, 4 / 6])


@only_sasrec
def test_of_many_users_some_are_chosen_evenly(recommender, table, tmp_path, monkeypatch):
    monkeypatch.setattr(popularity_picture, "MOST_USERS", 3)
    asked_for = []
    recommend = recommender.recommend_frame
    monkeypatch.setattr(
        recommender, "recommend_frame", lambda frame, *args: asked_for.append(frame) or recommend(frame)
    )
    save_popularity(recommender, table, tmp_path / "popularity.png")
    assert asked_for[0]["user_id"].unique().sort().to_list() == [0, 4, 8]
    assert len(asked_for[0]) == 60


@only_sasrec
def test_a_catalogue_without_counts_has_no_popular_items(recommender, table, tmp_path):
    recommender.items = type(recommender.items)(recommender.items.frame.with_columns(count=pl.lit(0)))
    with pytest.raises(InputError, match="The catalogue counts no training interactions"):
        save_popularity(recommender, table, tmp_path / "popularity.png")
