"""Impressions are targets of clicks, and of nothing else: histories, splits and counts are as without them."""

import logging

import numpy as np
import polars as pl
import pytest
import torch
from datasets import Dataset

from seqrec.errors import InputError, SavedFolderError
from seqrec.interactions.collators import MaskedItemCollator, NextItemCollator
from seqrec.interactions.data_arguments import DataArguments
from seqrec.interactions.events import EVENT_COLUMNS
from seqrec.interactions.histories import Histories, as_histories
from seqrec.interactions.history_files import IMPRESSION_FILES
from seqrec.interactions.label_columns import register_label_columns
from seqrec.interactions.preparation import prepare
from seqrec.interactions.prepared_sets import PreparedData
from seqrec.interactions.required_labels import require_labels
from seqrec.interactions.tokenization_items import ItemTokenizer

METHODS = ["leave_one_out", "temporal"]
PARTS = ["train", "validation", "test"]
TOKENIZER = ItemTokenizer.from_item_ids(range(500))


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    for name in ("click", "like"):
        monkeypatch.delitem(EVENT_COLUMNS, name, raising=False)
    register_label_columns(["click", "like"])
    yield
    for name in ("click", "like"):
        del EVENT_COLUMNS[name]


def make_frame(seed=0):
    """Events and impressions of 30 users with many ties of time, in no order; some users only have impressions."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(30):
        start = int(rng.integers(100))
        for _ in range(0 if user % 10 == 9 else int(rng.integers(2, 9))):
            rows.append(
                (f"u{user}", f"i{rng.integers(25)}", start + int(rng.integers(30)), 1 if rng.random() < 0.9 else None)
            )
        rows += [(f"u{user}", f"i{rng.integers(27)}", start + int(rng.integers(-5, 40)), 0) for _ in range(8)]
    rows = [rows[place] for place in rng.permutation(len(rows))]
    return pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp", "click"], orient="row")


def is_event(row):
    return row[3] != 0


def naive_parts(frame, data, method):
    """Where each impression belongs: rows of (user, items before, item, time), by part."""
    events = {user: [] for user in frame["user_id"].unique()}
    for row in sorted((row for row in frame.rows() if is_event(row)), key=lambda row: row[2]):  # stable
        events[row[0]].append((row[2], row[1]))
    token_ids = {item: place + 3 for place, item in enumerate(data.tokenizer.item_ids)}
    num_train = dict(zip(data.sequences["train"]["user_id"], data.sequences["train"].lengths_R, strict=True))
    held_out = {part: data.sequences[part]["target_timestamp"] for part in PARTS[1:]}
    num_held_out = {
        part: {user: list(data.sequences[part]["user_id"]).count(user) for user in events} for part in PARTS[1:]
    }
    found = {part: [] for part in PARTS}
    dropped = {"early": 0, "unknown": 0, "late": 0}
    for user, item, time, click in frame.rows():
        if click != 0:
            continue
        before = [token_ids[item] for when, item in events[user] if when < time]
        place = len(before)
        if method == "temporal":
            part = "test" if time >= held_out["test"].min() else "train"
            part = "validation" if part == "train" and time >= held_out["validation"].min() else part
        elif place < num_train.get(user, 0):
            part = "train"
        elif place < num_train.get(user, 0) + num_held_out["validation"][user]:
            part = "validation"
        else:
            part = "test"
        if place == 0:
            dropped["early"] += 1
        elif item not in token_ids:
            dropped["unknown"] += 1
        elif part == "train" and place >= num_train[user]:
            dropped["late"] += 1
        else:
            found[part].append((user, tuple(before), token_ids[item], time))
    return {part: sorted(rows) for part, rows in found.items()}, dropped


def shown_in(data, part):
    """The impressions of a part, laid out as in `naive_parts`; those of training have no time."""
    if part == "train":
        return sorted(
            (row["user_id"], tuple(row["input_ids"][:place].tolist()), item)
            for row in data.sequences["train"]
            for item, place in zip(row["impression_ids"].tolist(), row["impression_places"].tolist(), strict=True)
        )
    return sorted(
        (row["user_id"], tuple(row["input_ids"].tolist()), row["target"], row["target_timestamp"])
        for row in data.sequences[f"{part}_impressions"]
    )


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("method", METHODS)
def test_each_belongs_where_a_loop_puts_it(method, seed, caplog):
    frame = make_frame(seed)
    with caplog.at_level(logging.WARNING, "seqrec.interactions.impressions"):
        data = prepare(DataArguments(split_method=method), interactions=frame, event_columns=["click"])
    expected, dropped = naive_parts(frame, data, method)
    for part in PARTS:
        rows = [row[:3] for row in expected[part]] if part == "train" else expected[part]
        assert len(rows) > 5
        assert shown_in(data, part) == sorted(rows)
        if part != "train":
            held_out = data.sequences[f"{part}_impressions"]
            assert held_out.columns is data.sequences["train"].columns
            assert held_out["target_click"].tolist() == [0] * len(rows)
            assert held_out["target"].dtype == data.sequences[part]["target"].dtype
    assert data.protocol["num_impressions"] == {part: len(shown_in(data, part)) for part in PARTS}
    (message,) = [record.getMessage() for record in caplog.records if record.name.endswith("impressions")]
    assert message.startswith("Of 240 impressions (click = 0), ")
    assert f"{dropped['early']} are before the first event of their user" in message
    assert f"{dropped['unknown']} show items outside the catalogue" in message
    assert ("follow the last training event" in message) == (method == "temporal")
    assert dropped["late"] == 0 or f"{dropped['late']} follow the last training event of their user" in message


@pytest.mark.parametrize(
    "settings",
    [
        {"split_method": "temporal"},
        {"validation_users": 5},
        {"min_user_interactions": 4, "min_item_interactions": 3},
        {"duplicates": "last"},
    ],
)
def test_all_else_is_as_without_them(settings):
    frame = make_frame()
    data = prepare(DataArguments(**settings), interactions=frame, event_columns=["click"])
    plain = prepare(
        DataArguments(**settings), interactions=frame.filter(pl.col("click").fill_null(1) == 1), event_columns=["click"]
    )
    assert data.protocol == {**plain.protocol, "num_impressions": data.protocol["num_impressions"]}
    assert data.tokenizer.item_ids == plain.tokenizer.item_ids
    assert data.items == plain.items
    for part in PARTS:
        own, other = data.sequences[part], plain.sequences[part]
        assert own.column_names[: len(other.column_names)] == other.column_names
        for name in other.column_names:
            for found, expected in zip(own[name], other[name], strict=True):
                np.testing.assert_array_equal(found, expected)
    assert set(plain.sequences) == set(PARTS)
    assert plain.sequences["train"].impressions is None


def test_other_tasks_and_models_without_a_click_have_none():
    frame = make_frame()
    for columns, table in ((["like"], frame.rename({"click": "like"})), ([], frame)):
        data = prepare(DataArguments(), interactions=table, event_columns=columns)
        assert set(data.sequences) == set(PARTS)
        assert data.protocol["num_interactions"] == len(frame)


def test_a_table_without_clicks_is_refused():
    with pytest.raises(InputError, match=r"All \d+ rows have click = 0, which are impressions"):
        prepare(DataArguments(), interactions=make_frame().with_columns(click=0), event_columns=["click"])
    with pytest.raises(InputError, match="click must hold 0 and 1"):
        prepare(DataArguments(), interactions=make_frame().with_columns(click=2), event_columns=["click"])


def test_they_are_clicks_of_0_to_learn_from():
    data = prepare(DataArguments(), interactions=make_frame(), event_columns=["click"])
    require_labels(data.sequences["train"], ["click"])
    with pytest.raises(InputError, match="All labels of 'click' in training are 1"):
        require_labels(Histories(data.sequences["train"].columns, *rows_of(data)), ["click"])


def rows_of(data):
    return data.sequences["train"].starts_R, data.sequences["train"].lengths_R


def make_rows(lengths, seed=0):
    """Histories in which all items, and all items shown, differ."""
    rng = np.random.default_rng(seed)
    item, rows = 3, []
    for length in lengths:
        items, item = list(range(item, item + length)), item + length
        places = sorted(rng.integers(1, max(length, 2), size=2 * length).tolist()) if length > 1 else []
        shown, item = list(range(item, item + len(places))), item + len(places)
        rows.append({"input_ids": items, "click": [1] * length, "impression_ids": shown, "impression_places": places})
    return rows


def found_in(batch):
    """The impressions of a batch: item shown → (input, label) at its position."""
    found = {}
    for row in range(len(batch["labels"])):
        for item, place in zip(
            batch["impression_ids"][row].tolist(), batch["impression_positions"][row].tolist(), strict=True
        ):
            if item == 0:
                assert place == 0
                continue
            assert item not in found
            found[item] = (int(batch["input_ids"][row, place]), int(batch["labels"][row, place]))
    return found


@pytest.mark.parametrize("max_length", [1, 3, 7, 50])
@pytest.mark.parametrize("packing", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_the_position_is_that_of_the_last_event_before(max_length, packing, seed):
    rows = make_rows([5, 1, 9, 2, 0, 12, 3], seed)
    batch = NextItemCollator(TOKENIZER, max_length, packing=packing, label_columns=["click"])(rows)
    expected = {
        item: (row["input_ids"][place - 1], row["input_ids"][place])
        for row in rows
        for item, place in zip(row["impression_ids"], row["impression_places"], strict=True)
    }
    assert len(expected) > 50
    assert found_in(batch) == expected
    assert batch["impression_ids"].dtype == batch["impression_positions"].dtype == torch.int64
    assert batch["impression_ids"].shape == batch["impression_positions"].shape
    assert len(batch["impression_ids"]) == len(batch["labels"])


@pytest.mark.parametrize("max_length", [1, 3, 7, 50])
@pytest.mark.parametrize("packing", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_in_masked_batches_it_is_that_of_the_hidden_event_after(max_length, packing, seed):
    rows = make_rows([5, 1, 9, 2, 0, 12, 3], seed)
    collate = MaskedItemCollator(TOKENIZER, max_length, packing=packing, label_columns=["click"], seed=seed)
    batch = collate(rows)
    hidden = {int(label) for label in batch["labels"].flatten() if label != -100}
    expected = {
        item: (TOKENIZER.mask_token_id, row["input_ids"][place])
        for row in rows
        for item, place in zip(row["impression_ids"], row["impression_places"], strict=True)
        if row["input_ids"][place] in hidden
    }
    assert expected
    assert found_in(batch) == expected


@pytest.mark.parametrize("masked", [False, True])
def test_the_rest_of_a_batch_is_as_without_them(masked):
    rows = make_rows([5, 1, 9])
    make = MaskedItemCollator if masked else NextItemCollator
    collate = make(TOKENIZER, 4, label_columns=["click"], **({"seed": 0} if masked else {}))
    batch = collate(rows)
    del batch["impression_ids"], batch["impression_positions"]
    plain = collate([{name: row[name] for name in ("input_ids", "click")} for row in rows])
    torch.testing.assert_close(batch, plain, rtol=0, atol=0, equal_nan=True)
    without_task = make(TOKENIZER, 4, **({"seed": 0} if masked else {}))(rows)
    assert "impression_ids" not in without_task


@pytest.mark.parametrize("packing", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_a_batch_may_have_none(masked, packing):
    rows = [{"input_ids": [3], "click": [1], "impression_ids": [], "impression_places": []}] * 2
    make = MaskedItemCollator if masked else NextItemCollator
    batch = make(TOKENIZER, 4, label_columns=["click"], packing=packing)(rows)
    assert batch["impression_ids"].tolist() == [[0]] * len(batch["labels"])


def test_views_data_sets_and_rows_give_the_same_batch():
    rows = make_rows([5, 1, 9, 2])
    collate = NextItemCollator(TOKENIZER, 4, label_columns=["click"])
    batch = collate([rows[2], rows[0]])
    histories = Histories.from_rows(rows)
    torch.testing.assert_close(collate(histories.select([2, 0])), batch, rtol=0, atol=0, equal_nan=True)
    dataset = Dataset.from_list([rows[2], rows[0]])
    for made in (dataset, Histories.from_dataset(dataset), as_histories(dataset, ["input_ids", "click"])):
        torch.testing.assert_close(collate(made), batch, rtol=0, atol=0, equal_nan=True)
    again = Histories.from_dataset(histories.to_dataset())
    assert [{name: list(values) for name, values in row.items()} for row in again] == [
        {name: [*map(float, values)] for name, values in row.items()} for row in rows
    ]
    assert again.column_names == ["input_ids", "click", "impression_ids", "impression_places"]
    with pytest.raises(InputError, match="no impression_places"):
        Histories.from_rows([{"input_ids": [3], "impression_ids": [4]}])


@pytest.mark.parametrize("method", METHODS)
def test_a_prepared_set_keeps_them(method, tmp_path):
    data = prepare(DataArguments(split_method=method), interactions=make_frame(), event_columns=["click"])
    data.save(tmp_path / "set")
    arguments = DataArguments(dataset=str(tmp_path / "set"), split_method=method)
    loaded = prepare(arguments, event_columns=["input_ids", "click"])
    assert loaded.sequences.keys() == data.sequences.keys()
    for part, rows in data.sequences.items():
        names = [name for name in rows.column_names if name != "user_id"]
        assert loaded.sequences[part].column_names == names
        assert loaded.sequences[part].columns is loaded.sequences["train"].columns
        for name in names:
            for found, expected in zip(loaded.sequences[part][name], rows[name], strict=True):
                np.testing.assert_array_equal(found, expected)
    card = (tmp_path / "set" / "README.md").read_text()
    assert "`train_impressions.parquet`" in card
    assert "`target_click`" in card


def test_a_damaged_prepared_set_is_refused(tmp_path):
    data = prepare(DataArguments(split_method="temporal"), interactions=make_frame(), event_columns=["click"])
    data.save(tmp_path / "set")
    path = tmp_path / "set" / IMPRESSION_FILES[0]
    whole = pl.read_parquet(path)
    histories = pl.read_parquet(tmp_path / "set" / "train.parquet")["history"]
    for damaged, message in (
        (whole.with_columns(target=pl.lit(999, dtype=pl.Int32)), "holds token ids"),
        (whole.drop("target"), "has other columns or types than history, length, target"),
        (whole.with_columns(length=pl.lit(99, dtype=pl.Int64)), "longer than their histories"),
        (whole.with_columns(history=pl.lit(histories.max() + 1, dtype=pl.Int64)), "not among the training ones|beyond"),
    ):
        damaged.write_parquet(path)
        with pytest.raises(SavedFolderError, match=message):
            PreparedData.load(tmp_path / "set")
