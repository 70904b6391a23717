import json

import pytest
from datasets import load_dataset
from huggingface_hub import DatasetCard

from seqrec import ItemTokenizer
from seqrec.cli import main
from seqrec.data.preparation import DataArguments, prepare
from seqrec.data.prepared_sets import PreparedData, find_prepared


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
    assert loaded.items.equals(made.items)
    assert loaded.tokenizer.item_ids == made.tokenizer.item_ids
    for part, rows in made.sequences.items():
        assert loaded.sequences[part].to_dict() == rows.remove_columns("user_id").to_dict()
        assert loaded.sequences[part].features == rows.remove_columns("user_id").features


def test_it_holds_no_user_ids(folder):
    assert b"user_id" not in b"".join(path.read_bytes() for path in folder.iterdir())


def test_datasets_reads_it_by_itself(folder):
    read = {**load_dataset(str(folder), "train"), **load_dataset(str(folder), "held_out")}
    expected = PreparedData.load(folder).sequences
    assert {part: len(rows) for part, rows in read.items()} == {part: len(rows) for part, rows in expected.items()}
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
    assert prepared["model"] == raw["model"]
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
@pytest.mark.parametrize("name", ["train.parquet", "items.parquet", "tokenizer.json", "protocol.json"])
def test_a_damaged_one_is_refused(folder, tmp_path, name, damage):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    if damage == "missing":
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes((folder / name).read_bytes()[:20])
    with pytest.raises(ValueError, match=f"prepared set in {tmp_path} cannot be read; prepare it anew"):
        PreparedData.load(tmp_path)


def test_what_is_no_prepared_set_is_not_taken_for_one(tmp_path):
    assert find_prepared(tmp_path) is None
    assert find_prepared("synthetic") is None
    assert find_prepared("nobody/nothing") is None  # the tests are offline


def test_an_existing_folder_is_left_alone(folder, capsys):
    assert main(["prepare", "--dataset", "synthetic", "--output_dir", str(folder)]) == 2
    assert "is there already, and not empty" in capsys.readouterr().err
