"""Labels go from tables to histories, held-out rows and prepared sets."""

import math

import numpy as np
import polars as pl
import pytest
from datasets import Dataset

from seqrec.cli.command_line import main
from seqrec.errors import InputError, SavedFolderError
from seqrec.interactions.data_arguments import DataArguments
from seqrec.interactions.events import EVENT_COLUMNS
from seqrec.interactions.histories import Histories
from seqrec.interactions.label_columns import register_label_columns
from seqrec.interactions.preparation import prepare
from seqrec.interactions.prepared_sets import PreparedData
from seqrec.interactions.required_labels import (
    rating_range,
    require_labelled_targets,
    require_labels,
)

NAMES = ["user_id", "item_id", "timestamp", "rating", "like"]


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    for name in ("rating", "like", "finished"):
        monkeypatch.delitem(EVENT_COLUMNS, name, raising=False)
    register_label_columns(["rating", "like", "finished"])
    yield
    for name in ("rating", "like", "finished"):
        del EVENT_COLUMNS[name]


def make_rows():
    """Rows whose ratings differ, with every third missing, in no order of time."""
    rows = [
        (f"u{user}", f"i{(user + step) % 20}", 100 * user + step, None if step % 3 == 2 else user + step / 10)
        for user in range(12)
        for step in range(7)
    ]
    liked = [(*row, None if row[3] is None else int(row[3] % 2 > 1)) for row in rows]
    return [liked[place] for place in np.random.default_rng(0).permutation(len(liked))]


def make_frame():
    return pl.DataFrame(make_rows(), schema=NAMES, orient="row")


@pytest.mark.parametrize("method", ["leave_one_out", "temporal"])
def test_every_part_has_the_labels_of_its_events_and_targets(method):
    data = prepare(DataArguments(split_method=method), interactions=make_frame(), event_columns=["rating", "like"])
    labels = {(row[0], row[2]): row[3:] for row in make_rows()}
    counted = 0
    for part, rows in data.sequences.items():
        for row in rows:
            for time, rating, like in zip(row["timestamps"], row["rating"], row["like"], strict=True):
                expected = [math.nan if value is None else value for value in labels[row["user_id"], time]]
                np.testing.assert_array_equal([rating, like], np.array(expected, dtype=np.float32))
            if part != "train":
                found = [row["target_rating"], row["target_like"]]
                expected = [math.nan if x is None else x for x in labels[row["user_id"], row["target_timestamp"]]]
                np.testing.assert_array_equal(found, np.array(expected, dtype=np.float32))
                counted += 1
    assert counted >= 15
    assert "target_rating" not in data.sequences["train"].column_names


def test_data_without_tasks_have_no_labels():
    data = prepare(DataArguments(), interactions=make_frame())
    assert data.sequences["test"].column_names == ["input_ids", "timestamps", "user_id", "target", "target_timestamp"]


def same(found, expected):
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == expected.dtype


def test_a_prepared_set_keeps_the_labels(tmp_path):
    data = prepare(DataArguments(), interactions=make_frame(), event_columns=["rating", "like"])
    data.save(tmp_path / "set")
    loaded = prepare(DataArguments(dataset=str(tmp_path / "set")), event_columns=["like", "rating"])
    for part, rows in data.sequences.items():
        for name in ("rating", "like"):
            for found, expected in zip(loaded.sequences[part][name], rows[name], strict=True):
                same(found, expected)
            if part != "train":
                same(loaded.sequences[part][f"target_{name}"], rows[f"target_{name}"])


def test_a_prepared_set_without_the_labels_is_refused(tmp_path):
    arguments = DataArguments(dataset=str(tmp_path / "set"))
    prepare(DataArguments(), interactions=make_frame(), event_columns=["rating"]).save(tmp_path / "set")
    with pytest.raises(InputError, match="prepared without the column like, which is the label of a task"):
        prepare(arguments, event_columns=["rating", "like"])
    loaded = PreparedData.load(tmp_path / "set")
    columns = loaded.sequences["train"].columns
    columns["like"] = columns["rating"]
    loaded.save(tmp_path / "other")
    with pytest.raises(SavedFolderError, match="like must hold 0 and 1"):
        prepare(DataArguments(dataset=str(tmp_path / "other")), event_columns=["like"])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "rating",
            r"no column 'rating', which is the label of a task. Their columns are .*score\. Add it, or rename the",
        ),
        ("finished", r"no column 'finished'.*or derive it, for instance by derive='finished=score>=4'\.$"),
    ],
)
def test_a_missing_column_is_named_with_those_there_are(name, message):
    frame = make_frame().rename({"rating": "score"}).drop("like")
    with pytest.raises(InputError, match=message):
        prepare(DataArguments(), interactions=frame, event_columns=[name])
    with pytest.raises(InputError, match=r"that holds it\.$"):  # no numbers to derive it from
        prepare(DataArguments(), interactions=frame.drop("score"), event_columns=[name])


def test_a_column_of_other_values_is_no_binary_label():
    frame = make_frame().with_columns(like=pl.Series([3] * 5 + [1] * 79))
    with pytest.raises(
        InputError, match=r"like must hold 0 and 1 .* but 5 of 84 values are others, such as 3 \(5 times"
    ):
        prepare(DataArguments(), interactions=frame, event_columns=["like"])


def train_of(ratings):
    return Histories.from_lists({"input_ids": [[3] * len(ratings)], "rating": [ratings]})


def test_labels_to_learn_from_differ():
    require_labels(train_of([1, None, 2]), ["rating"])
    assert rating_range(train_of([1, None, 4.5, 2])) == [1.0, 4.5]
    with pytest.raises(InputError, match="All labels of 'rating' in training are 2, from which nothing can be learned"):
        require_labels(train_of([2, None, 2]), ["rating"])
    with pytest.raises(InputError, match="No training interaction has a label of the task 'rating'"):
        rating_range(train_of([None, None]))


def test_only_the_rows_themselves_count():
    rows = Histories.from_lists({"input_ids": [[3, 4], [5]], "rating": [[2, 2], [1]]})
    with pytest.raises(InputError, match="All labels of 'rating' in training are 2"):
        require_labels(rows.select([0]), ["rating"])


def test_ratings_are_within_the_scale():
    require_labels(train_of([1, None, 5]), ["rating"], [1, 5])
    require_labels(train_of([0.1, 0.7]), ["rating"], [0.1, 0.7])  # the same as float32
    message = r"2 of 3 ratings are outside rating_scale=\[1.0, 5.0\] \(first: 0.5\)"
    with pytest.raises(InputError, match=message):
        require_labels(train_of([0.5, None, 6, 2]), ["rating"], [1, 5])


def test_held_out_targets_have_labels():
    def rows(ratings):
        rows = {"target": [3] * len(ratings), "target_rating": ratings}
        return Histories.from_lists({"input_ids": [[3]] * len(ratings)}, rows)

    require_labelled_targets(rows([None, 2]), ["rating"])
    require_labelled_targets(rows([None, 2]).to_dataset(), ["rating"])
    require_labelled_targets(Dataset.from_list([{"target_rating": None}, {"target_rating": 2}]), ["rating"])
    require_labelled_targets(None, ["rating"])
    require_labelled_targets(rows([None]), [])
    with pytest.raises(InputError, match="No held-out target has a label of the task 'rating'"):
        require_labelled_targets({"first": rows([1]), "second": rows([None])}, ["rating"])
    require_labelled_targets(rows([1]), ["like"])  # such rows are only ranked


def test_the_command_keeps_the_labels_of_tasks(tmp_path):
    make_frame().drop("like").write_csv(tmp_path / "log.csv")
    flags = ["--dataset", str(tmp_path / "log.csv"), "--output_dir", str(tmp_path / "set"), "--quiet"]
    assert main(["prepare", *flags, "--derive", "like=rating>=4", "--tasks", "next_item,rating", "like"]) == 0
    made = prepare(
        DataArguments(derive=["like=rating>=4"]),
        interactions=make_frame().drop("like"),
        event_columns=["rating", "like"],
    )
    loaded = prepare(DataArguments(dataset=str(tmp_path / "set")), event_columns=["rating", "like"])
    for name in ("rating", "like"):
        same(np.concatenate(loaded.sequences["train"][name]), np.concatenate(made.sequences["train"][name]))
        same(loaded.sequences["test"][f"target_{name}"], made.sequences["test"][f"target_{name}"])
    with pytest.raises(InputError, match=r"without the column finished.*again with --tasks rating,finished\.$"):
        prepare(DataArguments(dataset=str(tmp_path / "set")), event_columns=["input_ids", "rating", "finished"])
