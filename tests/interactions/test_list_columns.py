"""Lists read from Arrow are those that the data set gives row by row."""

import numpy as np
import pytest
from datasets import Dataset, concatenate_datasets

from seqrec.interactions.list_columns import ArrowRows, list_lengths

LISTS = [[3, 4, 5], [], [6], [7, 8], [9, 10, 11, 12]]


def plain():
    return Dataset.from_dict({"input_ids": LISTS, "target": list(range(5)), "user_id": list("abcde")})


@pytest.mark.parametrize(
    "dataset",
    [
        plain(),
        plain().select([4, 2, 2, 0]),
        plain().shard(2, 1),
        concatenate_datasets([plain(), plain()]),
        plain().with_format("numpy"),
    ],
    ids=["plain", "selected", "shard", "chunks", "formatted"],
)
def test_lists_are_those_of_the_rows(dataset):
    expected = [list(row["input_ids"]) for row in dataset]
    assert list_lengths(dataset).tolist() == [len(one) for one in expected]
    index = np.random.default_rng(0).integers(0, len(dataset), size=7)
    rows = ArrowRows(dataset, "input_ids", "target").__getitems__(index.tolist())
    assert [row["input_ids"].tolist() for row in rows] == [expected[number] for number in index]
    assert [row["target"] for row in rows] == [dataset[int(number)]["target"] for number in index]
    assert ArrowRows(dataset, "input_ids")[0]["input_ids"].tolist() == expected[0]
