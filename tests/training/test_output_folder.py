"""An output folder belongs to one training, which replaces no other files and leaves no secrets."""

import json
import os
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from seqrec.hub import staging
from seqrec.hub.saved_folder import load_record
from seqrec.hub.weights_hash import weights_sha256
from seqrec.inference.recommender import Recommender
from seqrec.interactions.data_arguments import DataArguments
from seqrec.training.arguments import SequentialTrainingArguments
from seqrec.training.job import run_job, save
from seqrec.training.output_folder import LOCK, PRODUCT, claimed, code_files, resume_point

FIELDS = {"hidden_size": 8, "num_attention_heads": 1, "num_hidden_layers": 1, "max_position_embeddings": 12}


def run(folder, *, overwrite=False, **settings):
    arguments = SequentialTrainingArguments(
        output_dir=str(folder), **{"num_train_epochs": 1, "disable_tqdm": True, **settings}
    )
    return run_job(DataArguments(dataset="synthetic"), arguments, config_fields=FIELDS, overwrite=overwrite)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return run(tmp_path_factory.mktemp("trained") / "model")


@pytest.mark.parametrize("name", [*PRODUCT, "blocks.py", "modeling_sasrec.py"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_users_own_file_is_never_replaced(name, overwrite, tmp_path):
    (tmp_path / name).write_text("mine")
    with pytest.raises(
        ValueError, match=f"holds {name}, which training would replace, but no training of seqrec wrote"
    ):
        resume_point(tmp_path, None, overwrite=overwrite)
    assert (tmp_path / name).read_text() == "mine"


def test_another_programs_checkpoints_are_never_deleted(tmp_path):
    (tmp_path / "checkpoint-5").mkdir()
    (tmp_path / "checkpoint-5" / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(
        ValueError, match=r"holds checkpoint-5, which training would replace, but no training of seqrec wrote"
    ):
        resume_point(tmp_path, None, overwrite=True)
    assert (tmp_path / "checkpoint-5" / "config.json").is_file()


def test_files_that_no_model_has_may_lie_there(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "train.py").write_text("mine")
    assert resume_point(tmp_path, None, overwrite=False) is None


def test_every_file_of_a_saved_model_is_known(trained):
    names = {path.name for path in Path(trained.trainer.args.output_dir).iterdir()}
    assert names <= {*PRODUCT, *code_files()}


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_second_training_is_not_let_in(overwrite, tmp_path):
    with claimed(tmp_path), pytest.raises(ValueError, match="Another training is writing into"):
        run(tmp_path, overwrite=overwrite)
    with claimed(tmp_path):
        assert (tmp_path / LOCK).exists()
    assert not (tmp_path / LOCK).exists()


def test_a_system_that_keeps_open_files_gets_its_lock_released_too(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "The process cannot access the file")

    monkeypatch.setattr(Path, "unlink", refuse)
    for _ in range(2):
        with claimed(tmp_path):
            pass


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/nowhere"])
def test_a_folder_that_cannot_be_is_told_in_one_line(place, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ValueError, match=r"cannot be written to \(.*\)\. Choose another `output_dir`\.") as refused:
        run(tmp_path / place)
    assert "\n" not in str(refused.value)


def test_stages_of_killed_saves_go(tmp_path):
    (tmp_path / ".saving-abc" / "model").mkdir(parents=True)
    with claimed(tmp_path):
        assert not list(tmp_path.glob(".saving-*"))


def test_no_token_and_no_pickle_but_a_checkpoints_own_reach_the_disk(tmp_path):
    with suppress(KeyboardInterrupt), pytest.MonkeyPatch.context() as patch:
        patch.setattr("seqrec.training.job.save", lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
        run(tmp_path / "model", hub_token="hf_SECRET")
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert "optimizer.pt" in {path.name for path in files}
    assert not [path for path in files if b"hf_SECRET" in path.read_bytes()]
    assert "training_args.bin" not in {path.name for path in files}


def test_metrics_are_tied_to_the_weights(trained):
    folder = Path(trained.trainer.args.output_dir)
    assert json.loads((folder / "metrics.json").read_text())["weights_sha256"] == weights_sha256(folder)


def test_a_save_over_a_model_that_is_killed_at_its_end_leaves_a_whole_model_or_none(trained, tmp_path, monkeypatch):
    """Some rename or deletion by which the new model takes the old one's place is the last that happens."""
    old = Path(shutil.copytree(trained.trainer.args.output_dir, tmp_path / "old"))
    metrics = json.loads((old / "metrics.json").read_text())
    with torch.no_grad():
        trained.trainer.model.model.item_embedding.weight.mul_(2)

    def killed_after(count):
        """Save over a copy of the old model; return the copy, and whether the save came to its end."""
        folder = Path(shutil.copytree(old, tmp_path / f"after-{count}"))
        trained.trainer.args.output_dir = str(folder)
        with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
            patch.setattr(staging, "move_into_place", limited(staging.move_into_place, count, patch))
            save(trained.trainer, metrics)
            return folder, True
        return folder, False

    seen = set()
    for count in (0, 1, 2, 3, 5, 12, 25, 200):  # tests of staging try every one
        folder, finished = killed_after(count)
        try:
            Recommender.from_pretrained(folder)
        except ValueError:
            seen.add("none")
        else:
            record = json.loads(load_record(str(folder)).get("metrics.json", b"null"))
            assert record is None or record["weights_sha256"] == weights_sha256(folder)
            seen.add("old" if weights_sha256(folder) == weights_sha256(old) else "new")
        if finished:
            break
    assert finished
    assert seen == {"none", "old", "new"}


def limited(act, count, patch):
    """Make an act be interrupted after so many renames and deletions."""
    left = count

    def limit(operation):
        def counted(*args, **kwargs):
            nonlocal left
            if left == 0:
                raise KeyboardInterrupt
            left -= 1
            return operation(*args, **kwargs)

        return counted

    def limited_act(*args, **kwargs):
        for name in ("replace", "unlink"):
            patch.setattr(os, name, limit(getattr(os, name)))
        return act(*args, **kwargs)

    return limited_act
