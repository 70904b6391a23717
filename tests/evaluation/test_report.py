"""Reports on a model and its baselines for data sets that consist of edge cases only."""

import json
import warnings
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from datasets import Dataset, DatasetDict

from seqrec import SasRecConfig, SasRecForNextItem
from seqrec.evaluation.evaluator import rank_dataset
from seqrec.evaluation.report import LIST_LENGTH, measure
from seqrec.evaluation.tables import metrics_table
from seqrec.interactions.catalogue import Catalogue
from seqrec.interactions.data_arguments import DataArguments
from seqrec.interactions.preparation import prepare
from seqrec.interactions.prepared_sets import PreparedData
from seqrec.interactions.tokenization_items import ItemTokenizer
from seqrec.search.popularity import PopularityBaseline


def prepared(num_items, train, held_out, validation=None):
    """A catalogue of so many items, training histories, and pairs of a history and its target, to validate with too."""
    tokenizer = ItemTokenizer.from_item_ids([f"s{index}" for index in range(num_items)])
    counts = np.bincount(np.concatenate(train) - 3, minlength=num_items)
    items = Catalogue(pl.DataFrame({"item_id": tokenizer.item_ids, "count": counts}))
    parts = {
        name: Dataset.from_dict({"input_ids": [ids for ids, _ in rows], "target": [target for _, target in rows]})
        for name, rows in (("validation", validation or held_out), ("test", held_out))
    }
    sequences = DatasetDict(train=Dataset.from_dict({"input_ids": train}), **parts)
    return PreparedData(sequences, tokenizer, items, {"dataset": "made up"})


def figures_of(data, *, exclude_seen=True):
    config = SasRecConfig(vocab_size=len(data.tokenizer), hidden_size=8, num_hidden_layers=1, num_attention_heads=1)
    model = SasRecForNextItem(config)
    return measure(
        lambda rows: rank_dataset(model, rows, max_length=5, exclude_seen=exclude_seen, list_length=LIST_LENGTH),
        data,
        exclude_seen=exclude_seen,
    )


@pytest.mark.parametrize("num_rows", [1, 2])
@pytest.mark.parametrize("num_items", range(1, 9))
def test_catalogues_of_few_items_and_one_or_two_rows_are_measured(num_items, num_rows):
    """Seen items may be recommended, so that lists hold the whole catalogue, and every target is a hit."""
    rows = [([3], num_items + 2), ([num_items + 2], 3)][:num_rows]
    figures = figures_of(prepared(num_items, [[3 + place % num_items for place in range(9)]], rows), exclude_seen=False)
    assert figures["model"]["test"]["hr@10"] == 1
    assert figures["model"]["test"]["coverage@20"] == 1
    assert figures["popularity"]["test"]["hr@10"] == 1
    assert figures["slices"]["model"]["test"]["history_length"]["1-10"]["num_users"] == num_rows
    assert json.loads(json.dumps(figures, allow_nan=False)) is not None
    assert len(metrics_table(figures).splitlines()) == 7


@pytest.mark.parametrize("num_items", range(1, 9))
def test_targets_that_cannot_be_hit_are_no_hits_however_few_items_there_are(num_items):
    everything = list(range(3, num_items + 3))
    data = prepared(num_items, [everything], [(everything, 3), (everything, num_items + 2)])
    with pytest.warns(UserWarning, match="100% of the (validation|test) targets"):
        figures = figures_of(data)
    for ranker in ("model", "popularity", "item_knn"):
        found = figures[ranker]["test"]
        assert not any(found[f"{name}@{k}"] for name in ("hr", "ndcg", "mrr", "recall", "map") for k in (1, 5, 10, 20))
        assert found["coverage@20"] == 0
        assert found["novelty@20"] is None
        assert figures["confidence"][ranker]["test"]["hr@10"] == (0, 0)
        assert figures["slices"][ranker]["test"]["history_length"]["1-10"]["hr@10"] == 0
    assert figures["unreachable_targets"] == {"validation": 1, "test": 1}


def test_the_share_beyond_reach_depends_on_whether_seen_items_are_left_out():
    data = prepared(8, [[3, 4, 5, 6]], [([3, 4], 4), *[([3, 4], 5)] * 9])
    with pytest.warns(UserWarning, match="10% of the"):
        assert figures_of(data)["unreachable_targets"] == {"validation": 0.1, "test": 0.1}
    assert figures_of(data, exclude_seen=False)["unreachable_targets"] == {"validation": 0, "test": 0}


def test_item_knn_reads_the_longest_history_whole():
    """NumPy 2.0 cannot clip lengths by the largest number there is; the oldest item alone has a neighbour."""
    data = prepared(8, [[3, 10]], [([3, *[4, 5] * 40], 10)])
    assert figures_of(data)["item_knn"]["test"]["hr@1"] == 1


@pytest.mark.parametrize("exclude_seen", [True, False])
def test_baselines_leave_out_seen_items_where_the_model_does(exclude_seen):
    """One user wants something new, the other two want what they had."""
    data = prepared(8, [[3, 4, 5]] * 5 + [[3, 10]], [([3, 5], 4), *[([3, 4], 3)] * 2])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of targets that cannot be hit
        figures = figures_of(data, exclude_seen=exclude_seen)
    for baseline in ("popularity", "item_knn"):
        assert figures[baseline]["test"]["hr@5"] == (pytest.approx(1 / 3) if exclude_seen else 1)


def test_every_split_is_measured_on_its_own_rows():
    """Validation holds one short history of a popular target, test two long ones of a rare target."""
    validation, test = [([4], 3)], [([3, *[5] * 60], 10)] * 2
    figures = figures_of(prepared(8, [[3, 10], [3, 4], [3, 4], [3, 4]], test, validation))
    assert figures["popularity"]["validation"]["hr@1"] == 1
    assert figures["popularity"]["test"]["hr@1"] == 0
    assert figures["item_knn"]["validation"]["hr@1"] == 1
    assert figures["item_knn"]["test"]["hr@5"] == 1
    for ranker in ("model", "popularity", "item_knn"):
        slices = figures["slices"][ranker]
        assert {split: set(found["target_popularity"]) for split, found in slices.items()} == {
            "validation": {"head"},
            "test": {"tail"},
        }
        assert {split: set(found["history_length"]) for split, found in slices.items()} == {
            "validation": {"1-10"},
            "test": {"51-200"},
        }


def test_targets_beyond_reach_are_told_by_split():
    data = prepared(8, [[3, 4]], [([3], 3)], [([3], 4)])
    with pytest.warns(UserWarning, match="100% of the test targets") as told:
        figures = figures_of(data)
    assert len(told) == 1
    assert figures["unreachable_targets"] == {"validation": 0, "test": 1}


def test_popularity_follows_the_counts_not_the_token_ids():
    figures = figures_of(prepared(8, [[3, 9], [4, 9], [5, 9]], [([3], 9)]))
    assert figures["popularity"]["test"]["hr@1"] == 1


def test_popularity_is_counted_in_training_and_similarity_learned_there():
    """In held-out rows everybody takes 9 and 10, which nobody took in training."""
    figures = figures_of(prepared(8, [[3, 4], [3, 5], [3, 4]], [([5], 3), ([9], 10)]))
    assert figures["popularity"]["test"]["hr@1"] == 0.5
    assert figures["item_knn"]["test"]["hr@10"] == 0.5


def test_recent_popularity_is_measured_where_timestamps_are_times():
    """Each day everybody takes that day's item; those of validation and test do not occur in training."""
    days = [1, 2, 30, 60, 61]
    start = 1_704_067_200
    rows = [(user, f"i{day}", start + 86_400 * day + user) for user in range(40) for day in days]
    table = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    figures = figures_of(prepare(DataArguments(), interactions=table))
    assert figures["recent_popularity"]["validation"]["hr@1"] == 39 / 40  # nobody came before the first user
    assert figures["popularity"]["validation"]["hr@1"] == 0
    for section in ("confidence", "slices", "lists"):
        assert list(figures[section]) == ["model", "popularity", "recent_popularity", "item_knn"]
    assert len(metrics_table(figures).splitlines()) == 9
    ordered = table.with_columns(timestamp=pl.int_range(pl.len()))
    without = figures_of(prepare(DataArguments(), interactions=ordered))
    assert "recent_popularity" not in {*without, *without["confidence"], *without["slices"]}
    assert len(metrics_table(without).splitlines()) == 7
    assert without["popularity"] == figures["popularity"]


def test_lists_are_measured_by_the_vectors_and_categories_that_exist():
    data = prepared(12, [[3, 4, 4, 5]], [([3, 4], 5), ([6], 7)])
    model = PopularityBaseline(data.items.counts_by_token)
    assert set(lists_of(model, data)) == {"popularity_lift@10"}
    genres = ["Comedy|War", "Drama", None] * 4
    columns = {"genres": genres, "year": [1990] * 12, "plot": ["one of a kind"] * 12, "length": [90.5] * 12}
    described = replace(
        data,
        items=Catalogue(data.items.frame.with_columns(**{name: pl.Series(values) for name, values in columns.items()})),
    )
    found = lists_of(model, described, vectors_VD=np.eye(15))
    assert set(found) == {"popularity_lift@10", "intra_list_distance@10", "categories"}
    assert found["intra_list_distance@10"] == 1
    assert set(found["categories"]) == {"genres"}
    assert found["categories"]["genres"]["category_coverage@10"] == 1


def lists_of(model, data, **options):
    def rank(rows):
        return rank_dataset(model, rows, max_length=5, list_length=LIST_LENGTH)

    return measure(rank, data, exclude_seen=True, **options)["lists"]["model"]["test"]
