"""The figures of a model and its baselines, for data sets where edges are all there is."""

import json

import numpy as np
import polars as pl
import pytest
from datasets import Dataset, DatasetDict

from seqrec import SasRecConfig, SasRecForNextItem
from seqrec.data.prepared_sets import PreparedData
from seqrec.data.tokenization_items import ItemTokenizer
from seqrec.evaluation.evaluator import rank_dataset
from seqrec.evaluation.report import LIST_LENGTH, measure
from seqrec.evaluation.tables import metrics_table


def prepared(num_items, train, held_out):
    """A catalogue of so many items, training histories, and pairs of a history and its target."""
    tokenizer = ItemTokenizer.from_item_ids([f"s{index}" for index in range(num_items)])
    counts = np.bincount(np.concatenate(train) - 3, minlength=num_items)
    items = pl.DataFrame({"item_id": tokenizer.item_ids, "count": counts})
    part = Dataset.from_dict({"input_ids": [ids for ids, _ in held_out], "target": [target for _, target in held_out]})
    sequences = DatasetDict(train=Dataset.from_dict({"input_ids": train}), validation=part, test=part)
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
