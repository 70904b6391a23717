import json
import shutil

import numpy as np
import polars as pl
import pytest
from huggingface_hub import DatasetCard

from seqrec.cli.command_line import main
from seqrec.errors import InputError, SavedFolderError
from seqrec.interactions.data_arguments import DataArguments
from seqrec.interactions.history_files import IMPRESSION_FILES
from seqrec.interactions.preparation import prepare
from seqrec.interactions.prepared_sets import PREPARED_FILES, PreparedData

ITEMS = {f"i{item}": ("Drama|War" if item % 2 else "Comedy", 1990 + item) for item in range(14)}


@pytest.fixture
def shop(tmp_path):
    """Interactions with the items i1 to i12, and a table of the items i0 to i13 without i4."""
    folder = tmp_path / "shop"
    folder.mkdir()
    rows = [f"u{user},i{1 + (user + step) % 12},{step}" for user in range(12) for step in range(5)]
    (folder / "interactions.csv").write_text("\n".join(["user_id,item_id,timestamp", *rows]) + "\n")
    items = [f"{name},T {name},{genres},{year}" for name, (genres, year) in ITEMS.items() if name != "i4"]
    (folder / "items.csv").write_text("\n".join(["item_id,title,genres,year", *items]) + "\n")
    return folder


def arguments(folder, wanted="genres,year"):
    """Read these features."""
    return DataArguments(dataset=str(folder), item_features=wanted)


def test_all_items_of_the_table_join_the_catalogue_the_cold_ones_last(shop, caplog):
    data = prepare(arguments(shop))
    plain = prepare(DataArguments(dataset=str(shop)))
    assert data.tokenizer.item_ids == [*plain.tokenizer.item_ids, "i0", "i13"]
    assert data.items.counts.tolist() == [*plain.items.counts.tolist(), 0, 0]
    assert data.protocol == plain.protocol
    assert (plain.features, plain.feature_values) == (None, {})
    for row, name in enumerate(data.tokenizer.item_ids):
        genres, year = ITEMS[name]
        codes = [data.features.specs[0].categories[code - 3] for code in data.feature_values["genres"][row] if code > 2]
        number = data.feature_values["year"][row] * data.features.specs[1].std + data.features.specs[1].mean
        assert (codes or None, number) == (
            (None, pytest.approx(np.nan, nan_ok=True)) if name == "i4" else (genres.split("|"), pytest.approx(year))
        )
    assert [message for message in caplog.messages if "held-out" not in message] == [
        "2 of 13 items of the table do not occur in the interactions used. The model knows them by their features.",
        "1 of 14 items have no row in the table of items (first: 'i4'). Their features are missing.",
        "genres: category, 3 values, 1–2 per item, missing for 1 of 14 items",
        "year: number, 1990 to 2003, missing for 1 of 14 items",
    ]


def test_a_prepared_set_keeps_them(shop, tmp_path):
    data = prepare(arguments(shop))
    data.save(tmp_path / "set")
    assert {path.name for path in (tmp_path / "set").iterdir()} == set(PREPARED_FILES) - set(IMPRESSION_FILES)
    loaded = prepare(DataArguments(dataset=str(tmp_path / "set")))
    assert loaded.features == data.features
    assert list(loaded.feature_values) == ["genres", "year"]
    for name, values in data.feature_values.items():
        assert loaded.feature_values[name].dtype == values.dtype
        assert np.array_equal(loaded.feature_values[name], values, equal_nan=name == "year")
    card = DatasetCard.load(tmp_path / "set" / "README.md").text
    assert "`item_features.safetensors` holds the values of `genres`, `year` in this order of items." in card
    with pytest.raises(InputError, match="is a prepared set, on which item_features=year has no effect"):
        prepare(arguments(tmp_path / "set", "year"))


def test_the_command_prepares_them(shop, tmp_path):
    flags = ["--dataset", str(shop), "--item_features", "genres:category,year", "--output_dir", str(tmp_path / "set")]
    assert main(["prepare", *flags]) == 0
    assert PreparedData.load(tmp_path / "set").features.names == ["genres", "year"]


def break_json(folder):
    (folder / "item_features.json").write_text("{}")


def lose_values(folder):
    (folder / "item_features.safetensors").unlink()


def lose_features(folder):
    (folder / "item_features.json").unlink()


def add_category(folder):
    entries = json.loads((folder / "item_features.json").read_text())
    entries["item_features"][0]["per_item"] = 5
    (folder / "item_features.json").write_text(json.dumps(entries))


def rename(folder):
    text = (folder / "item_features.json").read_text()
    (folder / "item_features.json").write_text(text.replace('"year"', '"age"'))


def cut_values(folder):
    path = folder / "item_features.safetensors"
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (break_json, "item_features.json does not hold item features"),
        (lose_values, "It holds item_features.json without item_features.safetensors"),
        (lose_features, "It holds item_features.safetensors without item_features.json"),
        (add_category, r"Expected values of the item feature genres \(category\) for 14 items, but got int32 of"),
        (rename, r"item_features.safetensors holds genres, year, but item_features.json genres, age"),
        (cut_values, "cannot be read; prepare it again"),
    ],
)
def test_damaged_files_are_refused(shop, tmp_path, damage, message):
    prepare(arguments(shop)).save(tmp_path / "set")
    copy = tmp_path / "copy"
    shutil.copytree(tmp_path / "set", copy)
    damage(copy)
    with pytest.raises(SavedFolderError, match=message) as caught:
        PreparedData.load(copy)
    assert "\n" not in str(caught.value)


def test_frames_have_features_too(shop):
    interactions = pl.read_csv(shop / "interactions.csv").to_pandas()
    items = pl.read_csv(shop / "items.csv").with_columns(image=pl.Series([[float(row), 1.0] for row in range(13)]))
    frames = {"interactions": interactions, "items": items.to_pandas()}
    data = prepare(DataArguments(item_features="image,genres"), **frames)
    assert data.features.wanted == ["image:vector", "genres:category"]
    (row,) = np.flatnonzero(np.array(data.tokenizer.item_ids) == "i13")
    assert data.feature_values["image"][row].tolist() == [12, 1]


def test_features_need_items_and_a_new_model(shop):
    (shop / "items.csv").rename(shop / "other.csv")
    with pytest.raises(InputError, match="item_features='genres,year' needs a table of items, but the data have none"):
        prepare(arguments(shop))
    with pytest.raises(InputError, match="item_features='genres,year' has no effect on a trained model"):
        prepare(arguments(shop), prepare(DataArguments(dataset=str(shop))).tokenizer)
    with pytest.raises(InputError, match="item_text_model='x' has no effect without item_features"):
        prepare(DataArguments(dataset=str(shop), item_text_model="x"))


def test_a_table_of_other_items_is_refused(shop):
    text = (shop / "items.csv").read_text()
    (shop / "items.csv").write_text(text.replace("\ni", "\nI"))
    with (
        pytest.warns(UserWarning, match="have no title"),
        pytest.raises(
            InputError,
            match=r"has none of the 12 items of the interactions \(first: 'i1'; .*: 'I0'\)",
        ),
    ):
        prepare(arguments(shop))
