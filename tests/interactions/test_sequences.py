import datetime as dt

import numpy as np
import polars as pl
import pytest
from datasets import load_from_disk
from hypothesis import given, settings
from hypothesis import strategies as st

from seqrec.errors import InputError
from seqrec.interactions import events
from seqrec.interactions.sequences import build_histories, build_sequences
from seqrec.interactions.splitting import Split, leave_one_out, temporal
from seqrec.interactions.tokenization_items import ItemTokenizer

logs = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9), st.integers(0, 6)), min_size=1, max_size=40)


def frame_of(rows):
    users, items, times = zip(*rows, strict=True)
    frame = pl.DataFrame({"user_id": users, "item_id": [str(item) for item in items], "timestamp": times})
    return frame.sort("user_id", "timestamp", maintain_order=True)


def naive_sequences(split, tokenizer):
    """Row by row, in plain Python."""
    parts = {"train": split.train, "validation": split.validation, "test": split.test}
    users = sorted({user for part in parts.values() for user in part["user_id"]})
    found = {name: [] for name in parts}
    for user in users:
        events = []
        for name, part in parts.items():
            for item, time in part.filter(user_id=user).select("item_id", "timestamp").rows():
                token_id = tokenizer.get_vocab().get(item, 2)
                if name != "train" and events:
                    found[name].append((user, [e[0] for e in events], [e[1] for e in events], token_id, time))
                events.append((token_id, time))
            if name == "train" and events:
                found["train"].append((user, [e[0] for e in events], [e[1] for e in events]))
    return found


def check_against_naive(split, tokenizer):
    built, expected = build_sequences(split, tokenizer), naive_sequences(split, tokenizer)
    for name in ("train", "validation", "test"):
        columns = ["user_id", "input_ids", "timestamps", *(["target", "target_timestamp"] if name != "train" else [])]
        assert set(built[name].column_names) == set(columns)
        rows = [{column: np.asarray(value).tolist() for column, value in row.items()} for row in built[name]]
        assert [tuple(row[column] for column in columns) for row in rows] == expected[name]


@settings(max_examples=40)
@given(logs, st.booleans())
def test_sequences_equal_naive_ones(rows, by_time):
    tokenizer = ItemTokenizer.from_item_ids(list("01234567"))  # 8 and 9 are unknown
    try:
        split = temporal(frame_of(rows), test_fraction=0.3) if by_time else leave_one_out(frame_of(rows))
    except ValueError:
        return
    check_against_naive(split, tokenizer)


def test_held_out_rows_are_views_on_the_events_of_training():
    frame = frame_of([(user, item % 5, item) for user in range(3) for item in range(40)])
    built = build_sequences(temporal(frame), ItemTokenizer.from_interactions(frame))
    for part in built.values():
        assert part.columns is built["train"].columns
    assert {name: len(values) for name, values in built["test"].columns.items()} == {
        "input_ids": 120,
        "timestamps": 120,
    }


def test_types_are_those_of_the_contract(tmp_path):
    frame = frame_of([(user, item, item) for user in range(3) for item in range(5)])
    tokenizer = ItemTokenizer.from_interactions(frame)
    built = build_sequences(leave_one_out(frame.with_columns(pl.col("user_id").cast(pl.String))), tokenizer)
    dataset = built["test"].to_dataset()
    assert dataset.data.schema.field("input_ids").type.value_type == "int32"
    assert dataset.data.schema.field("target").type == "int32"
    assert dataset.data.schema.field("timestamps").type.value_type == "int64"
    assert dataset.data.schema.field("target_timestamp").type == "int64"
    assert dataset.data.schema.field("user_id").type == "string"
    dataset.save_to_disk(tmp_path)
    loaded = load_from_disk(tmp_path)
    assert loaded.to_dict() == dataset.to_dict()
    assert loaded.features == dataset.features


@pytest.fixture
def device(monkeypatch):
    """A registered event column, for one test."""
    monkeypatch.setattr(events, "EVENT_COLUMNS", dict(events.EVENT_COLUMNS))
    return events.register_event_column(events.CategoricalColumn("device", values=("tv", "phone")))


def test_further_event_columns_come_from_the_table(device):
    frame = frame_of([(user, item, item) for user in range(2) for item in range(4)])
    frame = frame.with_columns(device=pl.Series(["tv", "phone", None, "radio", "phone", "phone", "tv", "tv"]))
    tokenizer = ItemTokenizer.from_interactions(frame)
    built = build_sequences(leave_one_out(frame), tokenizer, ["input_ids", "device"])
    assert [codes.tolist() for codes in built["train"]["device"]] == [[1, 2], [2, 2]]
    assert [codes.tolist() for codes in built["test"]["device"]] == [[1, 2, 0], [2, 2, 1]]
    shuffled = frame.sample(fraction=1, shuffle=True, seed=3)
    assert [codes.tolist() for codes in build_histories(shuffled, tokenizer, ["device"])["device"]] == [
        [1, 2, 0, 0],
        [2, 2, 1, 1],
    ]
    assert build_sequences(leave_one_out(frame), tokenizer)["train"].column_names == [
        *("input_ids", "timestamps", "user_id")
    ]


def test_an_event_column_that_cannot_be_read_is_named(device):
    frame = frame_of([(user, item, item) for user in range(2) for item in range(4)])
    tokenizer = ItemTokenizer.from_interactions(frame)
    with pytest.raises(InputError, match=r"have no column 'device'.*Their columns are user_id, item_id, timestamp"):
        build_histories(frame, tokenizer, ["device"])
    with pytest.raises(InputError, match="No event column 'place' is registered"):
        build_histories(frame, tokenizer, ["place"])
    with pytest.raises(InputError, match="device must hold text such as"):
        build_histories(frame.with_columns(device=1), tokenizer, ["device"])


def lists(histories, name):
    return [values.tolist() for values in histories[name]]


def test_datetimes_become_seconds_and_decimals_stay():
    frame = frame_of([(0, 1, 0), (0, 2, 1), (1, 1, 5)])
    tokenizer = ItemTokenizer.from_interactions(frame)
    start = dt.datetime(1970, 1, 2)
    datetimes = frame.with_columns(timestamp=pl.lit(start) + pl.duration(seconds="timestamp"))
    assert lists(build_histories(datetimes, tokenizer), "timestamps") == [[86_400, 86_401], [86_405]]
    decimals = frame.with_columns(pl.col("timestamp") + 0.5)
    assert lists(build_histories(decimals, tokenizer), "timestamps") == [[0.5, 1.5], [5.5]]


def test_histories_of_a_frame():
    frame = frame_of([(10, 1, 3), (2, 1, 0), (10, 2, 1), (2, 7, 5)])
    built = build_histories(frame, ItemTokenizer.from_item_ids(["1", "2"]))
    assert built.to_dataset().to_dict() == {
        "user_id": [2, 10],
        "input_ids": [[3, 2], [4, 3]],
        "timestamps": [[0, 5], [1, 3]],
    }


def test_splits_that_leak_the_future_are_refused():
    frame = frame_of([(user, item, item) for user in range(2) for item in range(4)])
    split = leave_one_out(frame)
    with pytest.raises(ValueError, match="User '0' has training interactions after held-out ones"):
        build_sequences(
            Split.from_parts(split.test, split.validation, split.train), ItemTokenizer.from_interactions(frame)
        )
