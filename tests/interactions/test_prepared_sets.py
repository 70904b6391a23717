import json
import re
import resource
import shutil

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset
from huggingface_hub import DatasetCard
from pyarrow.types import is_large_list

from seqrec import ItemTokenizer
from seqrec.cli.command_line import main
from seqrec.interactions import events
from seqrec.interactions.data_arguments import DataArguments
from seqrec.interactions.history_files import IMPRESSION_FILES
from seqrec.interactions.preparation import prepare
from seqrec.interactions.prepared_features import FEATURE_FILES
from seqrec.interactions.prepared_sets import PREPARED_FILES, PreparedData, find_prepared


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A prepared set, made by the command."""
    folder = tmp_path_factory.mktemp("sets") / "made-up"
    assert main(["prepare", "--dataset", "synthetic", "--output_dir", str(folder), "--min_item_interactions", "3"]) == 0
    return folder


def test_it_is_what_was_prepared(folder):
    made = prepare(DataArguments(dataset="synthetic", min_item_interactions=3))
    loaded = prepare(DataArguments(dataset=str(folder)))
    assert loaded.protocol == made.protocol
    assert loaded.items == made.items
    assert loaded.tokenizer.item_ids == made.tokenizer.item_ids
    for part, rows in made.sequences.items():
        read, expected = loaded.sequences[part].to_dataset(), rows.to_dataset().remove_columns("user_id")
        assert read.to_dict() == expected.to_dict()
        assert read.features == expected.features


def test_events_are_stored_once(tmp_path):
    made = prepare(DataArguments(dataset="synthetic", split_method="temporal"))
    made.save(tmp_path / "set")
    loaded = PreparedData.load(tmp_path / "set")
    for part, rows in made.sequences.items():
        expected = rows.to_dataset().remove_columns("user_id")
        assert loaded.sequences[part].to_dataset().to_dict() == expected.to_dict()
        assert loaded.sequences[part].columns is loaded.sequences["train"].columns
    histories = pq.read_table(tmp_path / "set" / "histories.parquet")["input_ids"].combine_chunks()
    assert len(histories.values) == made.protocol["num_interactions"]
    assert len(histories) == made.protocol["num_users"]


def test_a_set_with_further_event_columns_keeps_them(tmp_path, monkeypatch):
    monkeypatch.setattr(events, "EVENT_COLUMNS", dict(events.EVENT_COLUMNS))
    events.register_event_column(events.CategoricalColumn("device", values=("tv", "phone")))
    rows = [f"u{user},{step},{step},{'tv' if (user + step) % 3 else 'phone'}" for user in range(9) for step in range(6)]
    (tmp_path / "log.csv").write_text("\n".join(["user_id,item_id,timestamp,device", *rows]) + "\n")
    arguments = DataArguments(dataset=str(tmp_path / "log.csv"))
    prepare(arguments, event_columns=["device"]).save(tmp_path / "with")
    prepare(arguments).save(tmp_path / "without")
    loaded = prepare(DataArguments(dataset=str(tmp_path / "with")), event_columns=["input_ids", "device"])
    steps = range(5)
    for user, codes in enumerate(loaded.sequences["test"]["device"]):
        assert codes.tolist() == [1 if (user + step) % 3 else 2 for step in steps]
    with pytest.raises(ValueError, match="'log' was prepared without the column device, which the model reads"):
        prepare(DataArguments(dataset=str(tmp_path / "without")), event_columns=["device"])
    for other in (events.CategoricalColumn("device", values=("tv",)), events.EventColumn("device", "float32")):
        events.EVENT_COLUMNS["device"] = other
        with pytest.raises(ValueError, match=r"The column device of 'log' was encoded differently. Prepare"):
            prepare(DataArguments(dataset=str(tmp_path / "with")), event_columns=["device"])


def test_a_set_of_an_earlier_version_is_to_be_prepared_again(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    for part, rows in PreparedData.load(folder).sequences.items():
        rows.to_dataset().to_parquet(copy / f"{part}.parquet")
    (copy / "histories.parquet").unlink()
    with pytest.raises(ValueError, match=r"prepare it again. It was written by an earlier version of seqrec") as caught:
        PreparedData.load(copy)
    assert "\n" not in str(caught.value)


def test_it_holds_no_user_ids(folder):
    assert b"user_id" not in b"".join(path.read_bytes() for path in folder.iterdir())


def test_datasets_reads_it_by_itself(folder):
    read = {**load_dataset(str(folder), "train"), **load_dataset(str(folder), "held_out")}
    expected = PreparedData.load(folder).sequences
    assert {part: len(rows) for part, rows in read.items()} == {part: len(rows) for part, rows in expected.items()}
    histories = load_dataset(str(folder), "histories", split="histories")
    for part, rows in read.items():
        views = [histories[row["history"]]["input_ids"][: row["length"]] for row in rows]
        assert views == [items.tolist() for items in expected[part]["input_ids"]]
    assert read["test"]["target"][:] == expected["test"]["target"].tolist()
    card = DatasetCard.load(folder / "README.md")
    assert card.data.tags == ["sequential-recommendation", "seqrec"]
    assert "seqrec train --dataset made-up" in card.text


def test_training_on_it_is_training_on_the_interactions(folder, tmp_path):
    flags = ["--num_train_epochs", "1", "--hidden_size", "16", "--disable_tqdm", "true"]
    filtered = ["--min_item_interactions", "3"]
    assert main(["train", "--dataset", str(folder), "--output_dir", str(tmp_path / "prepared"), *flags]) == 0
    assert main(["train", "--dataset", "synthetic", "--output_dir", str(tmp_path / "raw"), *flags, *filtered]) == 0
    prepared, raw = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("prepared", "raw"))
    assert prepared["protocol"] == raw["protocol"]
    for ranker in ("model", "popularity", "recent_popularity", "item_knn"):
        assert prepared[ranker] == raw[ranker]
    evaluate = ["evaluate", "--model", str(tmp_path / "raw"), "--dataset"]
    assert main([*evaluate, str(folder)]) == 0


def test_it_is_not_split_in_another_way(folder):
    with pytest.raises(ValueError, match=r"prepared with split_method=leave_one_out, not temporal. Leave the flag out"):
        prepare(DataArguments(dataset=str(folder), split_method="temporal"))
    with pytest.raises(ValueError, match="prepared with min_item_interactions=3, not 4"):
        prepare(DataArguments(dataset=str(folder), min_item_interactions=4))


def test_another_vocabulary_is_refused(folder):
    with pytest.raises(ValueError, match=r"another vocabulary \(\d+ items\) than the model's \(2 items\)"):
        prepare(DataArguments(dataset=str(folder)), ItemTokenizer.from_item_ids(["a", "b"]))


@pytest.mark.parametrize("damage", ["missing", "cut off"])
@pytest.mark.parametrize(
    "name", ["histories.parquet", "train.parquet", "items.parquet", "tokenizer.json", "protocol.json"]
)
def test_a_damaged_one_is_refused(folder, tmp_path, name, damage):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    if damage == "missing":
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes((folder / name).read_bytes()[:20])
    with pytest.raises(ValueError, match=f"prepared set in {tmp_path} cannot be read; prepare it again"):
        PreparedData.load(tmp_path)


def test_what_is_no_prepared_set_is_not_taken_for_one(tmp_path):
    assert find_prepared(tmp_path) is None
    assert find_prepared("synthetic") is None
    assert find_prepared("nobody/nothing") is None  # the tests are offline


def test_preparing_shows_no_bars(tmp_path, capfd):
    assert main(["prepare", "--dataset", "synthetic", "--output_dir", str(tmp_path / "set")]) == 0
    shown = capfd.readouterr()
    assert [line.split()[0] for line in (shown.out + shown.err).splitlines()] == ["Read", "Wrote"]


def test_an_existing_folder_is_left_alone(folder, capsys):
    assert main(["prepare", "--dataset", "synthetic", "--output_dir", str(folder)]) == 2
    assert "already exists and is not empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    "flags",
    [
        {"items": "titles.csv"},
        {"user_id_column": "uid"},
        {"item_id_column": "sku"},
        {"timestamp_column": "ts"},
        {"streaming": True},
    ],
)
def test_flags_of_tables_are_refused(folder, flags):
    (name,) = flags
    with pytest.raises(ValueError, match=f"is a prepared set, on which {name}=.* has no effect.*Leave --{name} out"):
        prepare(DataArguments(dataset=str(folder), **flags))


@pytest.mark.parametrize(
    "flags",
    [
        {"duplicates": "first"},
        {"min_user_interactions": 2},
        {"validation_users": 5},
        {"split_method": "temporal", "test_fraction": 0.2},
    ],
)
def test_other_ways_to_filter_and_split_are_refused(folder, flags):
    with pytest.raises(ValueError, match=r"was prepared with \w+=.*, not .*Leave the flag out"):
        prepare(DataArguments(dataset=str(folder), **flags))


def change(name, function):
    """Change one Parquet file of a prepared set."""

    def apply(folder):
        table = function(pl.read_parquet(folder / name)).to_arrow()
        lists = {field.name: pa.list_(field.type.value_type) for field in table.schema if is_large_list(field.type)}
        schema = pa.schema([(field.name, lists.get(field.name, field.type)) for field in table.schema])
        pq.write_table(table.cast(schema), folder / name)

    return apply


def change_protocol(**changes):
    def apply(folder):
        protocol = json.loads((folder / "protocol.json").read_text())
        (folder / "protocol.json").write_text(json.dumps({**protocol, **changes}))

    return apply


def beyond(column):
    return pl.col(column) + 10**6


def each(column, value):
    return pl.col(column).list.eval(value)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (change("test.parquet", lambda table: table.drop("target")), "test.parquet has other columns"),
        (change("test.parquet", lambda table: table.cast({"target": pl.Int64})), "test.parquet has other columns"),
        (change("test.parquet", lambda table: table.cast({"target_timestamp": pl.String})), "test.parquet has other"),
        (change("train.parquet", lambda table: table.rename({"length": "size"})), "train.parquet has other columns"),
        (change("train.parquet", lambda table: table.cast({"length": pl.Float64})), "train.parquet has other columns"),
        (change("train.parquet", lambda table: table.with_columns(user_id=1)), "train.parquet has other columns"),
        (change("test.parquet", lambda table: table.with_columns(target=pl.lit(None, pl.Int32))), "has missing values"),
        (
            change("train.parquet", lambda table: table.with_columns(length=pl.lit(None, pl.Int64))),
            "has missing values",
        ),
        (change("test.parquet", lambda table: table.with_columns(beyond("target"))), "token ids from .* to 10"),
        (change("test.parquet", lambda table: table.with_columns(target=pl.lit(0, pl.Int32))), "token ids from 0 to"),
        (change("test.parquet", lambda table: table.with_columns(beyond("history"))), "refers to histories beyond the"),
        (change("train.parquet", lambda table: table.with_columns(history=pl.lit(-1, pl.Int64))), "histories beyond"),
        (change("test.parquet", lambda table: table.with_columns(beyond("length"))), "longer than their histories"),
        (change("train.parquet", lambda table: table.with_columns(length=pl.lit(0, pl.Int64))), "rows that are empty"),
        (change("histories.parquet", lambda table: table.rename({"input_ids": "ids"})), "histories.parquet has other"),
        (change("histories.parquet", lambda table: table.cast({"input_ids": pl.List(pl.String)})), "has other columns"),
        (change("histories.parquet", lambda table: table.cast({"input_ids": pl.List(pl.Int64)})), "has other columns"),
        (change("histories.parquet", lambda table: table.cast({"timestamps": pl.List(pl.Int32)})), "has other columns"),
        (change("histories.parquet", lambda table: table.with_columns(user_id=1)), "histories.parquet has other"),
        (change("histories.parquet", lambda table: table[:-1]), "refers to histories beyond the"),
        (
            change("histories.parquet", lambda table: table.with_columns(each("input_ids", pl.element() - 5))),
            "histories.parquet holds token ids from -2",
        ),
        (
            change("histories.parquet", lambda table: table.with_columns(each("timestamps", pl.lit(None, pl.Int64)))),
            "histories.parquet has missing values",
        ),
        (
            change("histories.parquet", lambda table: table.with_columns(pl.col("timestamps").list.head(1))),
            "histories whose columns differ in length",
        ),
        (change("histories.parquet", lambda table: table.with_columns(pl.all().list.head(0))), "has empty histories"),
        (
            change(
                "histories.parquet",
                lambda table: table.with_columns(pl.lit(None).cast(pl.List(pl.Int32)).alias("input_ids")),
            ),
            "histories whose columns differ in length",
        ),
        (change("items.parquet", lambda table: table[::-1]), "items.parquet has .* items, other than"),
        (change("items.parquet", lambda table: table[:-1]), "items.parquet has .* items, other than"),
        (change("items.parquet", lambda table: table.drop("count")), "items.parquet must hold item_id"),
        (change("items.parquet", lambda table: table.with_columns(count=-1).cast({"count": pl.Int64})), "negative"),
        (
            change("items.parquet", lambda table: table.with_columns(title=pl.lit(b"a"))),
            "items.parquet must hold titles",
        ),
        (change_protocol(num_users="many"), "protocol.json must hold num_users as int, but has 'many'"),
        (change_protocol(split_method=None), "protocol.json must hold split_method"),
        (lambda folder: (folder / "protocol.json").write_text("[]"), "protocol.json is not a JSON object"),
        (lambda folder: (folder / "protocol.json").write_bytes(b"\xff\xfe"), "cannot be read"),
        (lambda folder: (folder / "train.parquet").write_bytes(b""), "cannot be read"),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), "cannot be read"),
    ],
)
def test_parts_that_do_not_fit_each_other_are_one_line(folder, tmp_path, damage, message):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    damage(copy)
    with pytest.raises(ValueError, match=rf"^The prepared set in {copy} cannot be read; prepare it again. ") as caught:
        PreparedData.load(copy)
    assert re.search(message, str(caught.value))
    assert "\n" not in str(caught.value)


def test_a_part_without_rows_is_refused_where_it_is_needed(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    change("validation.parquet", lambda table: table[:0])(copy)
    with pytest.raises(ValueError, match="No validation interaction of 'synthetic'"):
        prepare(DataArguments(dataset=str(copy)))
    assert len(prepare(DataArguments(dataset=str(copy)), held_out=["test"]).sequences["test"])


def test_half_a_prepared_set_is_not_taken_for_a_folder_of_parts(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "protocol.json").unlink()
    (copy / "validation.parquet").write_bytes(b"")
    with pytest.raises(ValueError, match=r"no protocol.json: the prepared set is incomplete. Prepare it again"):
        prepare(DataArguments(dataset=str(copy)))


def test_it_consists_of_the_files_that_are_listed(folder):
    assert {path.name for path in folder.iterdir()} == set(PREPARED_FILES) - {*FEATURE_FILES, *IMPRESSION_FILES}


def test_nothing_of_a_full_folder_is_touched(folder, tmp_path):
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(ValueError, match="already exists and is not empty"):
        PreparedData.load(folder).save(tmp_path)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("README.md", "mine")]


@pytest.mark.parametrize("exists", [False, True])
def test_a_full_disk_leaves_no_half_of_one(folder, tmp_path, exists):
    data = PreparedData.load(folder)
    if exists:
        (tmp_path / "set").mkdir()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        with pytest.raises(ValueError, match=r"set' could not be written: [^\n]*File too large"):
            data.save(tmp_path / "set")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    data.save(tmp_path / "set")
    assert len(PreparedData.load(tmp_path / "set").items) == len(data.items)


def test_names_in_its_card_are_plain(folder, tmp_path):
    data = PreparedData.load(folder)
    data.protocol["dataset"] = "<script>`x`\n# big"
    data.save(tmp_path / "set", name="a <b>")
    text = (tmp_path / "set" / "README.md").read_text()
    assert "<" not in text
    assert "`_script__x___ big`" in text
