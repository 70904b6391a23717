"""The output of `train` can be shared: it is complete and has no pickles, local paths or user ids."""

import json
import os
import zipfile
from pathlib import Path

import polars as pl
import pytest

from seqrec.inference.recommender import Recommender
from seqrec.interactions.data_arguments import DataArguments
from seqrec.interactions.synthetic import synthetic_interactions
from seqrec.training.arguments import SequentialTrainingArguments
from seqrec.training.job import run_job

PICKLE_SUFFIXES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
MARK = "Zq7user"  # begins each user id
PLACE = "somebodys-private-folder"


@pytest.fixture(scope="module")
def product(tmp_path_factory):
    """The folder of a finished training on a file of distinctive users, in a distinctive place."""
    place = tmp_path_factory.mktemp(PLACE)
    interactions = synthetic_interactions(num_users=60, num_items=40, mean_length=10)
    interactions.with_columns(user_id=MARK + pl.col("user_id").cast(pl.String)).write_csv(place / "purchases.csv")
    run_job(
        DataArguments(dataset=str(place / "purchases.csv")),
        SequentialTrainingArguments(
            output_dir=str(place / "model"), num_train_epochs=2, disable_tqdm=True, project=str(place / "project")
        ),
        config_fields={"hidden_size": 16, "intermediate_size": 32, "max_position_embeddings": 12},
        command=f"seqrec train --dataset {place / 'purchases.csv'} --output_dir {place / 'model'}",
    )
    return place / "model"


def files_of(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


def decoded(path):
    """A file's content as text, that of Parquet also decoded."""
    text = path.read_bytes().decode("latin-1")
    if path.suffix == ".parquet":
        frame = pl.read_parquet(path)
        text += json.dumps(frame.to_dict(as_series=False), default=str) + str(pl.read_parquet_metadata(path))
    return text


def is_pickle(path):
    head = path.read_bytes()[:2]
    return path.suffix in PICKLE_SUFFIXES or zipfile.is_zipfile(path) or head[:1] == b"\x80"


def test_no_file_is_a_pickle(product):
    assert len(files_of(product)) > 10
    assert [path.name for path in files_of(product) if is_pickle(path)] == []
    assert [path.name for path in product.iterdir() if path.is_dir()] == []


def test_no_file_names_a_place_or_a_user(product):
    secrets = [PLACE, str(product.parent.parent), os.path.expanduser("~") + "/", str(Path.cwd()), MARK]
    for path in files_of(product):
        content = decoded(path)
        assert [secret for secret in secrets if secret in content] == [], path.name


def test_the_scan_would_find_them(tmp_path):
    pl.DataFrame({"user_id": [f"{MARK}1"]}).write_parquet(tmp_path / "a.parquet")
    assert MARK in decoded(tmp_path / "a.parquet")
    for name, content in (("a.bin", b"x"), ("weights", b"\x80\x04K\x01.")):
        (tmp_path / name).write_bytes(content)
        assert is_pickle(tmp_path / name)
    with zipfile.ZipFile(tmp_path / "archive", "w") as archive:
        archive.writestr("data.pkl", "x")
    assert is_pickle(tmp_path / "archive")


def test_the_best_model_is_there_and_answers(product):
    recommender = Recommender.from_pretrained(product)
    assert len(recommender.recommend(recommender.item_ids[:3], k=5)) == 5
    assert json.loads((product / "metrics.json").read_text())["training"]["best_epoch"]


def test_samples_are_recommendations_of_the_saved_model(product):
    samples = json.loads((product / "metrics.json").read_text())["samples"]
    recommender = Recommender.from_pretrained(product)
    assert len(samples) == 3
    for sample in samples:
        history = [item["item_id"] for item in sample["history"]]
        expected = [one.item_id for one in recommender.recommend(history, k=5)]
        assert [item["item_id"] for item in sample["recommended"]] == expected
    card = (product / "README.md").read_text()
    assert "## Sample recommendations" in card
    assert "](slices.png)" in card
    assert "](item_map.png)" in card


def test_a_finished_training_has_nothing_to_resume_and_is_not_overwritten(product):
    before = {path.name: path.read_bytes() for path in files_of(product)}
    data = DataArguments(dataset="synthetic")
    for flags, message in (({}, "already holds a model"), ({"resume_from_checkpoint": "true"}, "leaves none")):
        with pytest.raises(ValueError, match=message):
            run_job(data, SequentialTrainingArguments(output_dir=str(product), **flags))
    assert {path.name: path.read_bytes() for path in files_of(product)} == before


def test_checkpoints_stay_until_all_is_saved_and_then_go(tmp_path, monkeypatch):
    def run(**flags):
        arguments = SequentialTrainingArguments(
            output_dir=str(tmp_path), num_train_epochs=1, disable_tqdm=True, **flags
        )
        fields = {"hidden_size": 16, "intermediate_size": 32, "max_position_embeddings": 12}
        return run_job(DataArguments(dataset="synthetic"), arguments, config_fields=fields)

    def interrupt(trainer, **options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("seqrec.training.trainer.SequentialTrainer.create_model_card", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run()
    assert list(tmp_path.glob("checkpoint-*/optimizer.pt"))
    run(resume_from_checkpoint="true")
    assert not list(tmp_path.glob("checkpoint-*"))
    assert (tmp_path / "README.md").exists()
