"""The trade-off curve of a small model: its points, its picture and its table."""

import json
from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest
import torch
from datasets import Dataset, DatasetDict

from seqrec import SasRecConfig, SasRecForNextItem
from seqrec.errors import InputError
from seqrec.evaluation import list_candidates
from seqrec.evaluation.diversity_curve import diversity_curve, measure_settings, ranks_in_lists
from seqrec.evaluation.diversity_picture import save_diversity_picture
from seqrec.evaluation.diversity_settings import Setting, settings_of
from seqrec.evaluation.diversity_table import curve_table, strongest_within
from seqrec.evaluation.evaluator import rank_dataset
from seqrec.evaluation.list_candidates import Candidates, find_candidates
from seqrec.interactions.catalogue import Catalogue
from seqrec.interactions.histories import Histories
from seqrec.interactions.prepared_sets import PreparedData
from seqrec.interactions.tokenization_items import ItemTokenizer
from seqrec.search.scoring import NOT_RANKED

NUM_ITEMS = 40
GENRES = ("Comedy", "Drama|War", "Drama", "Western|Comedy", None)


@pytest.fixture
def model():
    torch.manual_seed(0)
    config = SasRecConfig(
        vocab_size=NUM_ITEMS + 3,
        hidden_size=8,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=1,
        max_position_embeddings=5,
        initializer_range=0.5,
    )
    return SasRecForNextItem(config).eval()


@pytest.fixture
def data():
    """Thirty users with distinct histories."""
    generator = np.random.default_rng(0)
    histories = [(generator.permutation(NUM_ITEMS)[: 2 + user % 6] + 3).tolist() for user in range(30)]
    rows = Dataset.from_dict({"input_ids": histories, "target": (generator.integers(NUM_ITEMS, size=30) + 3).tolist()})
    tokenizer = ItemTokenizer.from_item_ids([f"s{index}" for index in range(NUM_ITEMS)])
    frame = pl.DataFrame(
        {
            "item_id": tokenizer.item_ids,
            "count": np.arange(NUM_ITEMS, 0, -1),
            "genres": [GENRES[index % len(GENRES)] for index in range(NUM_ITEMS)],
            "year": [1990 + index % 7 for index in range(NUM_ITEMS)],
        }
    )
    train = Dataset.from_dict({"input_ids": histories})
    return PreparedData(DatasetDict(train=train, validation=rows, test=rows), tokenizer, Catalogue(frame), {})


def candidates_of(model, data, num_candidates=20):
    return find_candidates(
        model, data.sequences["test"], num_candidates=num_candidates, max_length=5, exclude_seen=True
    )


def curve_of(model, data, num_candidates=20, **options):
    vectors_VD = model.item_vectors().detach().numpy()
    found = diversity_curve(candidates_of(model, data, num_candidates), data.items, vectors_VD, **options)
    return {"split": "test", **found}


@dataclass(frozen=True)
class Backwards:
    """Lists the worst candidates, the worst first."""

    num_candidates: int
    reads_users: bool = False

    def rank(self, users_BD, seen_BS, scores_BN, token_ids_BN, k):
        assert len(users_BD) == len(seen_BS) == len(scores_BN)
        return scores_BN.flip(1)[:, :k], token_ids_BN.flip(1)[:, :k]


def test_candidates_are_the_lists_of_the_evaluation(model, data):
    found = candidates_of(model, data, 12)
    ranking = rank_dataset(model, data.sequences["test"], max_length=5, list_length=12)
    np.testing.assert_array_equal(found.token_ids_UN, ranking.top_UK)
    assert (np.diff(found.scores_UN, axis=1) <= 0).all()


def test_a_reranker_sees_all_rows_in_blocks_with_their_own_histories(monkeypatch):
    monkeypatch.setattr(list_candidates, "ROWS_AT_ONCE", 2)
    rows = Histories.from_lists({"input_ids": [[3], [4, 5], [6, 7, 8]]}, {"target": [3, 3, 3]})
    seen = []

    class Spy(Backwards):
        def rank(self, users_BD, seen_BS, *rest):
            seen.extend(row[row > 0].tolist() for row in seen_BS)
            return super().rank(users_BD, seen_BS, *rest)

    candidates = Candidates(rows, np.zeros((3, 2), dtype=np.float32), np.array([[3, 4], [5, 6], [7, 8]]))
    assert candidates.choose(Spy(2), 1).tolist() == [[4], [6], [8]]
    assert seen == [[3], [4, 5], [6, 7, 8]]
    assert candidates.best(1).tolist() == [[3], [5], [7]]


def test_a_reranker_that_reads_users_is_refused():
    rows = Histories.from_lists({"input_ids": [[3]]}, {"target": [3]})
    candidates = Candidates(rows, np.zeros((1, 2), dtype=np.float32), np.array([[3, 4]]))
    with pytest.raises(InputError, match="Backwards reads user vectors"):
        candidates.choose(Backwards(2, reads_users=True), 1)


def test_settings_are_measured_by_method_in_their_order():
    rows = Histories.from_lists({"input_ids": [[3]]}, {"target": [3]})
    candidates = Candidates(rows, np.zeros((1, 3), dtype=np.float32), np.array([[3, 4, 5]]))
    settings = [Setting("mmr", strength, Backwards(3)) for strength in (0.1, 0.2)]
    found = measure_settings(candidates, settings, lambda top_UK: {"first": int(top_UK[0, 0])}, k=2)
    assert found == {
        "own": {"first": 3},
        "methods": {
            "mmr": {"option": "diversity", "points": [{"strength": 0.1, "first": 5}, {"strength": 0.2, "first": 5}]}
        },
    }


def test_the_own_lists_have_the_metrics_of_the_evaluation(model, data):
    curve = curve_of(model, data)
    expected = rank_dataset(model, data.sequences["test"], max_length=5).metrics(data.items.counts_by_token, (10,))
    assert {name: curve["own"][name] for name in expected} == pytest.approx(expected)
    assert json.loads(json.dumps(curve, allow_nan=False)) == curve


def test_all_methods_that_apply_are_measured_and_do_what_they_say(model, data):
    by_vectors, by_genres = curve_of(model, data), curve_of(model, data, diversify_by="genres")
    assert list(by_vectors["methods"]) == ["mmr", "dpp", "popularity_penalty", "exposure"]
    assert list(by_genres["methods"]) == ["mmr", "dpp", "calibrated", "max_per", "popularity_penalty", "exposure"]
    assert list(by_genres["own"]["categories"]) == ["genres"]

    def last(curve, method):
        return curve["own"], curve["methods"][method]["points"][-1]

    def genres(metrics, name):
        return metrics["categories"]["genres"][name]

    own, found = last(by_vectors, "mmr")
    assert found["intra_list_distance@10"] > own["intra_list_distance@10"] + 0.05
    own, found = last(by_genres, "dpp")
    assert genres(found, "intra_list_distance@10") > genres(own, "intra_list_distance@10") + 0.05
    own, found = last(by_genres, "calibrated")
    assert genres(found, "calibration_js@10") < genres(own, "calibration_js@10") / 2
    own, found = last(by_genres, "popularity_penalty")
    assert found["popularity_lift@10"] < own["popularity_lift@10"] - 0.1
    own, found = last(by_genres, "exposure")
    assert found["gini@10"] < own["gini@10"] - 0.1


def test_strengths_of_exposure_stand_for_different_numbers_of_lists(model, data):
    found = candidates_of(model, data, 12)
    settings = settings_of(data.items, model.item_vectors().detach(), found, k=10)
    strengths = [setting.strength for setting in settings if setting.method == "exposure"]
    assert strengths == [0.05, 0.15, 0.3, 0.5, 0.6, 0.8, 1.0]  # 1, 2, 3, 4, 5, 6 and 8 of 30 lists of 10


def test_an_unknown_column_and_too_few_candidates_are_refused(model, data):
    with pytest.raises(InputError, match="no column 'mood'"):
        curve_of(model, data, diversify_by="mood")
    with pytest.raises(InputError, match="rerank_from=5"):
        curve_of(model, data, num_candidates=5)


def test_places_in_lists_are_ranks():
    top_UK = np.array([[5, 4, 3], [5, 4, 0], [0, 0, 0]])
    assert ranks_in_lists(top_UK, np.array([4, 3, 3])).tolist() == [2, NOT_RANKED, NOT_RANKED]


@pytest.mark.parametrize("diversify_by", ["vectors", "genres"])
def test_the_picture_is_drawn(model, data, tmp_path, diversify_by):
    curve = curve_of(model, data, diversify_by=diversify_by)
    save_diversity_picture(curve, tmp_path / "curve.png", title="a title")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    curve["own"]["ndcg@10"] = 0.0  # nothing was hit
    save_diversity_picture(curve, tmp_path / "none.png")


def test_the_table_shows_the_strongest_setting_that_keeps_the_accuracy():
    own = {"ndcg@10": 0.1, "coverage@10": 0.4, "intra_list_distance@10": None, "popularity_lift@10": 0, "gini@10": 1}
    points = [
        {**own, "strength": strength, "ndcg@10": ndcg} for strength, ndcg in ((0.1, 0.1), (0.2, 0.098), (0.3, 0.09))
    ]
    assert strongest_within(points, own, "ndcg@10") == points[1]
    curve = {
        "k": 10,
        "own": own,
        "methods": {
            "mmr": {"option": "diversity", "points": points},
            "dpp": {"option": "diversity", "points": points[2:]},
        },
    }
    lines = curve_table(curve).splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["own", "mmr"]
    assert lines[2].split() == ["mmr", "diversity=0.2", "0.0980", "0.4000", "-", "0.0000", "1.0000"]
