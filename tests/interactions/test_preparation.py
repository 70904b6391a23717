"""Preparing a data set: filters, splits, and the recorded facts about the interactions."""

import datetime
import json
from collections import Counter

import numpy as np
import polars as pl
import pytest

from seqrec import ItemTokenizer
from seqrec.errors import InputError
from seqrec.interactions.data_arguments import DataArguments
from seqrec.interactions.described import describe_interactions
from seqrec.interactions.preparation import prepare
from seqrec.interactions.prepared_fit import require_held_out, require_real_times


def table(timestamps):
    return pl.DataFrame({"user_id": [1, 1, 1, 2], "item_id": ["a", "b", "a", "c"], "timestamp": timestamps})


def test_a_repeat_makes_interactions_no_denser():
    found = describe_interactions(table([1, 2, 3, 4]))
    assert found == {"num_users": 2, "num_items": 3, "num_interactions": 4, "density": pytest.approx(3 / 6)}


def test_period_is_told_as_iso_dates():
    days = [datetime.datetime(2024, 5, day, 12) for day in (2, 1, 3, 31)]
    assert describe_interactions(table(days))["period"] == ["2024-05-01", "2024-05-31"]


def test_terms_are_told_only_where_they_are_known():
    assert "dataset_terms" not in prepare(DataArguments(dataset="synthetic")).protocol


@pytest.mark.parametrize(
    "fields",
    [
        {"split_method": "temporal", "validation_users": 10},
        {"test_fraction": 0.2},
        {"validation_fraction": 0.2},
    ],
)
def test_what_means_nothing_to_the_split_is_refused(fields):
    with pytest.raises(ValueError, match="has no effect in the"):
        DataArguments(dataset="synthetic", **fields)


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match="Choose one of: leave_one_out, temporal"):
        DataArguments(dataset="synthetic", split_method="random")


@pytest.fixture
def log(tmp_path):
    """A log of 20 users with 6 items each, of 30."""
    path = tmp_path / "log.csv"
    rows = [f"u{user},{100 + (7 * user + step) % 30},{10 * step + user}" for user in range(20) for step in range(6)]
    path.write_text("\n".join(["user_id,item_id,timestamp", *rows]) + "\n")
    return path


def test_items_that_the_model_does_not_know_are_told(log):
    known = [str(item_id) for item_id in range(100, 130, 2)]
    with pytest.warns(UserWarning, match="not in the model's vocabulary") as caught:
        data = prepare(DataArguments(dataset=str(log)), ItemTokenizer.from_item_ids(known))
    unknown = {
        split: sum(target == 2 for target in data.sequences[split]["target"]) for split in ("validation", "test")
    }
    train = sum(token_id == 2 for row in data.sequences["train"]["input_ids"] for token_id in row)
    message = str(caught[0].message)
    assert message.startswith("15 of the 30 items in these interactions are not in the model's vocabulary (first: '")
    assert f"{train} of 80 training, {unknown['validation']} of 20 validation, {unknown['test']} of 20 test" in message


def test_a_model_that_knows_none_of_the_items_is_the_wrong_one(log):
    with pytest.raises(
        ValueError,
        match=r"^30 of the 30 items .*, whose items have ids such as 'x'. Check that these are the model's data",
    ):
        prepare(DataArguments(dataset=str(log)), ItemTokenizer.from_item_ids(["x", "y"]))


@pytest.mark.parametrize(
    "options",
    [{}, {"validation_users": 3}, {"split_method": "temporal", "validation_fraction": 0.2, "test_fraction": 0.3}],
    ids=str,
)
def test_popularity_and_token_order_are_those_of_the_training_part(tmp_path, options):
    """Everybody ends with "hit", the most frequent item of all, which hardly anybody is known to have taken before."""
    path = tmp_path / "log.csv"
    histories = {user: [*[f"i{(user * step) % 7}" for step in range(1, 6)], "late", "hit"] for user in range(12)}
    rows = [f"{user},{item},{place}" for user, items in histories.items() for place, item in enumerate(items)]
    path.write_text("\n".join(["user_id,item_id,timestamp", *rows]) + "\n")
    data = prepare(DataArguments(dataset=str(path), **options))
    item_ids = data.tokenizer.item_ids
    taken = Counter(item_ids[token_id - 3] for row in data.sequences["train"]["input_ids"] for token_id in row)
    assert data.items.counts.tolist() == [taken[item_id] for item_id in item_ids]
    assert data.items.by_popularity().tolist() == data.items.token_ids.tolist()
    assert set(item_ids) == {item for items in histories.values() for item in items}
    assert item_ids[-1] == "hit"
    assert taken["hit"] == 0


def test_columns_of_other_names_and_titles_from_a_file_are_read(log, tmp_path):
    lines = log.read_text().splitlines()
    log.write_text("\n".join(["uid,iid,at", *lines[1:]]) + "\n")
    titles = tmp_path / "titles.csv"
    titles.write_text("\n".join(["item_id,title", *[f"{100 + number},Title {number}" for number in range(30)]]) + "\n")
    columns = {"user_id_column": "uid", "item_id_column": "iid", "timestamp_column": "at"}
    data = prepare(DataArguments(dataset=str(log), items=str(titles), **columns))
    assert data.items.titles == [f"Title {int(item_id) - 100}" for item_id in data.tokenizer.item_ids]


def test_ratings_and_clicks_may_have_other_names():
    rows = [(user, item, item, item % 5, 1) for user in range(4) for item in range(6)]
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp", "stars", "opened"], orient="row")
    data = prepare(
        DataArguments(rating_column="stars", click_column="opened"),
        interactions=frame,
        event_columns=["rating", "click"],
    )
    assert data.protocol["columns"] == {"rating": "stars", "click": "opened"}
    row = data.sequences["test"][0]
    assert (row["rating"].tolist(), row["target_rating"]) == ([0, 1, 2, 3, 4], 0)
    assert row["click"].tolist() == [1] * 5


def test_the_fractions_of_a_temporal_split_are_those_asked_for(log):
    data = prepare(DataArguments(dataset=str(log), split_method="temporal", validation_fraction=0.1, test_fraction=0.3))
    assert {part: len(rows) for part, rows in data.sequences.items()} == {"train": 20, "validation": 12, "test": 36}


def test_users_who_do_not_validate_are_learned_from(log):
    data = prepare(DataArguments(dataset=str(log), validation_users=3))
    assert (len(data.sequences["validation"]), data.items.counts.sum()) == (3, 20 * 5 - 3)


@pytest.mark.parametrize(("keep", "items"), [("first", ["1", "2", "3"]), ("last", ["2", "1", "3"])])
def test_of_repeats_the_one_asked_for_is_kept(tmp_path, keep, items):
    path = tmp_path / "log.csv"
    rows = [f"{user},{item},{time}" for user in range(3) for time, item in enumerate([1, 2, 1, 3, 4, 5])]
    path.write_text("\n".join(["user_id,item_id,timestamp", *rows]) + "\n")
    data = prepare(DataArguments(dataset=str(path), duplicates=keep))
    assert data.tokenizer.decode_item_ids(data.sequences["train"]["input_ids"][0]) == items


def test_filters_for_users_and_for_items_are_not_mixed_up(tmp_path):
    """Of 4 users with 5 items each and one user with 2, only "rare" occurs once."""
    path = tmp_path / "log.csv"
    histories = [[*"abcd", "rare" if user == 0 else "e"] for user in range(4)] + [["a", "b"]]
    rows = [f"{user},{item},{place}" for user, items in enumerate(histories) for place, item in enumerate(items)]
    path.write_text("\n".join(["user_id,item_id,timestamp", *rows]) + "\n")

    def left(**filters):
        protocol = prepare(DataArguments(dataset=str(path), **filters)).protocol
        return protocol["num_users"], protocol["num_items"], protocol["num_interactions"]

    assert left() == (5, 6, 22)
    assert left(min_item_interactions=2) == (5, 5, 21)
    assert left(min_user_interactions=3) == (4, 6, 20)


def test_filters_tell_what_they_dropped(log, caplog):
    with log.open("a") as file:
        file.write("u0,100,900\nu0,100,901\nrare,999,5\n")
    prepare(DataArguments(dataset=str(log), duplicates="first", min_user_interactions=2))
    assert caplog.messages == [
        "Filters dropped 3 of 123 interactions (2 of them repeats), 1 of 21 users and 1 of 31 items."
    ]


def test_filters_that_drop_nothing_say_nothing(log, caplog):
    prepare(DataArguments(dataset=str(log), duplicates="last", min_item_interactions=2))
    assert caplog.messages == []


def one_time_buyers(path, *, returning):
    """Write users of one interaction each, and one who comes back for the test part alone, if asked for."""
    rows = [f"u{user},i{user % 9},{user}" for user in range(100)] + ["u0,i5,200"] * returning
    path.write_text("\n".join(["user_id,item_id,timestamp", *rows]) + "\n")
    return DataArguments(dataset=str(path), split_method="temporal")


@pytest.mark.filterwarnings("ignore")
def test_held_out_interactions_without_a_history_leave_nothing_to_measure_on(tmp_path):
    never = one_time_buyers(tmp_path / "never.csv", returning=False)
    with pytest.raises(ValueError, match=r"^No validation interaction of 'never' has a history"):
        prepare(never)
    with pytest.raises(ValueError, match=r"^No test interaction of 'never'"):
        prepare(never, held_out=["test"])
    late = one_time_buyers(tmp_path / "late.csv", returning=True)
    with pytest.raises(ValueError, match=r"^No validation interaction of 'late'"):
        prepare(late)
    data = prepare(late, held_out=["test"])
    assert len(data.sequences["test"]) == 1
    require_held_out(data, ["test"])
    with pytest.raises(ValueError, match="No validation interaction"):
        require_held_out(data, ["test", "validation"])


@pytest.mark.parametrize("name", ["parts", "parts.csv"])
def test_no_path_of_this_machine_is_kept(log, tmp_path, name):
    folder = tmp_path / "private" / name
    folder.mkdir(parents=True)
    log.rename(folder / "part-0.csv")
    data = prepare(DataArguments(dataset=str(folder)))
    assert data.protocol["dataset"] == name
    data.save(tmp_path / "set")
    for path in (tmp_path / "set").iterdir():
        assert b"private" not in path.read_bytes(), path
    assert json.loads((tmp_path / "set" / "protocol.json").read_text())["dataset"] == name


READS_TIMES = ("input_ids", "timestamps", "request_times")


def timed(log, times):
    """The log with other times, as a frame."""
    return pl.read_csv(log).with_columns(timestamp=times)


def test_a_model_that_reads_times_refuses_numbers_that_are_none(log, tmp_path):
    message = r"the timestamps of .* are no times: they are numbers from 0 to 69\. Expected times from 1990 to 2100"
    with pytest.raises(InputError, match=message):
        prepare(DataArguments(dataset=str(log)), event_columns=READS_TIMES)
    prepare(DataArguments(dataset=str(log))).save(tmp_path / "prepared")
    with pytest.raises(InputError, match="are no times"):
        prepare(DataArguments(dataset=str(tmp_path / "prepared")), event_columns=READS_TIMES)
    milliseconds = pl.when(pl.int_range(pl.len()) < 6).then(1717113600000).otherwise(1717113600)
    mixed = timed(log, milliseconds + pl.col("timestamp"))
    with (
        pytest.warns(UserWarning, match="Timestamps seem to mix units"),
        pytest.raises(InputError, match=r"they mix units \(114 in seconds and 6 in milliseconds since 1970"),
    ):
        prepare(DataArguments(), interactions=mixed, event_columns=READS_TIMES)


@pytest.mark.parametrize("start", [1717113600, -10_000], ids=["numbers", "datetimes of long ago"])
def test_times_of_any_unit_are_prepared_as_seconds(log, tmp_path, caplog, start):
    seconds = start + pl.col("timestamp")
    expected = prepare(DataArguments(), interactions=timed(log, pl.from_epoch(seconds, "s")), event_columns=READS_TIMES)
    assert expected.sequences["test"]["target_timestamp"].min() >= start
    prepared = [expected]
    if start > 0:
        prepared += [
            prepare(DataArguments(), interactions=timed(log, factor * seconds), event_columns=READS_TIMES)
            for factor in (1, 1000, 10**6, 10**9)
        ]
        assert [message.partition(" since")[0] for message in caplog.messages if "are read as" in message] == [
            f"The numbers in the column timestamp are read as {unit}seconds" for unit in ("milli", "micro", "nano")
        ]
    expected.save(tmp_path / "prepared")
    prepared.append(prepare(DataArguments(dataset=str(tmp_path / "prepared")), event_columns=READS_TIMES))
    for data in prepared:
        assert data.protocol["split_sha256"] == expected.protocol["split_sha256"]
        for part, rows in data.sequences.items():
            times = np.concatenate(rows["timestamps"])
            assert np.array_equal(times, np.concatenate(expected.sequences[part]["timestamps"]))
            if part != "train":
                assert np.array_equal(rows["target_timestamp"], expected.sequences[part]["target_timestamp"])


def test_a_set_prepared_with_another_unit_is_to_be_prepared_again(log):
    data = prepare(DataArguments(), interactions=timed(log, 1717113600 + pl.col("timestamp")))
    columns = data.sequences["train"].columns
    columns["timestamps"] = 1000 * columns["timestamps"]
    with pytest.raises(InputError, match=r"was prepared with another unit\. Prepare the interactions again"):
        require_real_times(data)
