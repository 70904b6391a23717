import datetime as dt
import hashlib
import logging

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from seqrec.interactions import splitting
from seqrec.interactions.interactions import is_in_order, sort_interactions
from seqrec.interactions.splitting import Split, leave_one_out, temporal

logs = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9), st.integers(0, 12)), min_size=3, max_size=60)


def frame_of(rows):
    users, items, times = zip(*rows, strict=True)
    frame = pl.DataFrame({"user_id": users, "item_id": [str(item) for item in items], "timestamp": times})
    return frame.sort("user_id", "timestamp", maintain_order=True)


def histories(frame):
    found = {}
    for user, item, time in frame.select("user_id", "item_id", "timestamp").rows():
        found.setdefault(user, []).append((item, time))
    return found


@given(logs)
def test_leave_one_out_takes_the_last_two(rows):
    whole = histories(frame_of(rows))
    if all(len(history) < 3 for history in whole.values()):
        with pytest.raises(ValueError, match="has the 3 interactions"):
            leave_one_out(frame_of(rows))
        return
    split = leave_one_out(frame_of(rows))
    long = {user: history for user, history in whole.items() if len(history) >= 3}
    short = {user: history for user, history in whole.items() if len(history) < 3}
    assert histories(split.train) == {**short, **{user: history[:-2] for user, history in long.items()}}
    assert histories(split.validation) == {user: history[-2:-1] for user, history in long.items()}
    assert histories(split.test) == {user: history[-1:] for user, history in long.items()}


@given(logs, st.integers(1, 12))
def test_of_users_who_do_not_validate_the_last_but_one_is_learned_from(rows, validation_users):
    whole = histories(frame_of(rows))
    long = sorted((user for user, history in whole.items() if len(history) >= 3), key=str)
    assume(long)
    split = leave_one_out(frame_of(rows), validation_users=validation_users)
    validating = histories(split.validation)
    assert len(validating) == min(validation_users, len(long))
    places = [long.index(user) for user in sorted(validating, key=str)]
    assert max(np.diff(places, prepend=0, append=len(long))) - len(long) / len(validating) < 1
    assert histories(split.test) == {user: whole[user][-1:] for user in long}
    assert histories(split.train) == {
        user: history if user not in long else history[: -2 if user in validating else -1]
        for user, history in whole.items()
    }


def test_the_same_users_validate_whether_ids_are_numbers_or_text():
    frame = frame_of([(user, step, step) for user in range(5, 25) for step in range(4)])
    as_text = frame.with_columns(pl.col("user_id").cast(pl.String))
    split = leave_one_out(frame, validation_users=7)
    assert split.sha256() == leave_one_out(as_text, validation_users=7).sha256()
    with pytest.raises(ValueError, match="validation_users=0 leaves no data"):
        leave_one_out(frame, validation_users=0)


@given(logs, st.floats(0.05, 0.45), st.floats(0.05, 0.45))
def test_temporal_parts_do_not_overlap_in_time(rows, validation_fraction, test_fraction):
    frame = frame_of(rows)
    try:
        split = temporal(frame, validation_fraction=validation_fraction, test_fraction=test_fraction)
    except ValueError as error:
        assert "leaves nothing" in str(error)  # noqa: PT017, an outcome as good as a split
        return
    assert split.train["timestamp"].max() < split.validation["timestamp"].min()
    assert split.validation["timestamp"].max() < split.test["timestamp"].min()
    assert split.test.height >= round(test_fraction * len(rows))
    together = pl.concat([split.train, split.validation, split.test])
    assert_frame_equal(together.sort("user_id", "timestamp", maintain_order=True), frame)


def test_temporal_takes_the_fractions_asked_for():
    frame = frame_of([(step % 3, step, step) for step in range(100)])
    split = temporal(frame)
    assert [split.train.height, split.validation.height, split.test.height] == [80, 10, 10]
    datetimes = frame.with_columns(pl.lit(dt.datetime(2020, 1, 1)) + pl.duration(days="timestamp"))
    datetimes = datetimes.drop("timestamp").rename({"literal": "timestamp"})
    assert temporal(datetimes).sha256() == split.sha256()


def test_temporal_counts_newcomers(caplog):
    frame = frame_of([(0, step, step) for step in range(18)] + [(1, 5, 18), (2, 5, 19), (2, 6, 19)])
    with caplog.at_level(logging.WARNING):
        split = temporal(frame)
    assert "2 of 4 held-out interactions are the first of their user" in caplog.text
    assert (set(split.validation["user_id"]), set(split.test["user_id"])) == ({0, 1}, {2})


@pytest.mark.parametrize(("validation", "test"), [(0, 0.1), (0.1, 0), (0.5, 0.5), (-0.1, 0.2), (float("nan"), 0.1)])
def test_fractions_out_of_range_are_refused(validation, test):
    with pytest.raises(ValueError, match="must be above 0"):
        temporal(frame_of([(0, 0, 0)] * 5), validation_fraction=validation, test_fraction=test)


def test_times_that_cannot_be_split_are_refused():
    with pytest.raises(ValueError, match=r"leaves nothing for train.* cut-off at 7"):
        temporal(frame_of([(user, user, 7) for user in range(10)]))
    with pytest.raises(ValueError, match=r"leaves nothing for validation.* cut-off at 7"):
        temporal(frame_of([(0, 0, 1)] * 5 + [(user, user, 7) for user in range(20)]), validation_fraction=0.7)


def test_hash_tells_splits_apart_but_not_types():
    rows = [(user, item, item) for user in (1, 2, 10) for item in range(4)]
    split = leave_one_out(frame_of(rows))
    as_text = frame_of(rows).with_columns(pl.col("user_id").cast(pl.String))
    assert leave_one_out(as_text).sha256() == split.sha256()
    assert leave_one_out(as_text.sort("user_id")).sha256() == split.sha256()
    assert Split.from_parts(split.train, split.validation, split.test).sha256() == split.sha256()
    assert Split.from_parts(split.train, split.test, split.validation).sha256() != split.sha256()
    in_other_order = split.train.with_columns(pl.col("item_id").reverse().over("user_id"))
    assert Split.from_parts(in_other_order, split.validation, split.test).sha256() != split.sha256()


@given(
    st.lists(st.tuples(st.text(), st.text()), max_size=5),
    st.lists(st.tuples(st.text(), st.text()), max_size=5),
)
def test_hash_is_of_content_not_of_joined_text(left, right):
    schema = {"user_id": pl.String, "item_id": pl.String}
    tables = [pl.DataFrame(rows, schema, orient="row").with_row_index("timestamp") for rows in (left, right)]
    hashes = [Split.from_parts(table, table.clear(), table.clear()).sha256() for table in tables]
    in_user_order = [sorted(rows, key=lambda row: row[0].encode()) for rows in (left, right)]
    assert (hashes[0] == hashes[1]) == (in_user_order[0] == in_user_order[1])


def naive_sha256(split):
    """As the hash was first written: the whole text of each part at once."""
    digest = hashlib.sha256()
    for name in ("train", "validation", "test"):
        rows = sorted(getattr(split, name).select("user_id", "item_id").rows(), key=lambda row: str(row[0]).encode())
        text = "\n".join("".join(f"{len(str(id_).encode())}:{id_}" for id_ in row) for row in rows)
        digest.update(f"{name} {len(rows)}\n{text}".encode())
    return digest.hexdigest()


@given(logs, st.integers(1, 7), st.booleans())
def test_hash_in_chunks_equals_that_of_the_whole_text(rows, size, is_text):
    frame = frame_of([(user * 7, f"é{item}", time) for user, item, time in rows])
    frame = frame.with_columns(pl.col("user_id").cast(pl.String)) if is_text else frame
    parts = np.random.default_rng(0).integers(3, size=len(frame))
    split = Split.from_parts(*(frame.filter(pl.Series(parts == part)) for part in range(3)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(splitting, "HASHED_ROWS", size)
        assert split.sha256() == naive_sha256(split)


def test_a_sorted_table_is_not_sorted_again():
    frame = frame_of([(user, item, item // 2) for user in range(3) for item in range(6)])
    assert sort_interactions(frame) is frame
    assert leave_one_out(frame).interactions is frame
    for column in ("user_id", "timestamp"):
        assert not is_in_order(frame.with_columns(pl.col(column).reverse()))
    shuffled = frame.sample(fraction=1, shuffle=True, seed=0)
    assert_frame_equal(leave_one_out(shuffled).interactions, shuffled.sort("user_id", "timestamp", maintain_order=True))
