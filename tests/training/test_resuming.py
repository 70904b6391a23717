"""An interrupted training resumes to the same weights, or an error says why it cannot."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from datasets import List, Value
from safetensors.torch import load_file
from transformers import TrainerCallback

from seqrec import SasRecConfig
from seqrec.errors import NonFiniteError
from seqrec.interactions.data_arguments import DataArguments
from seqrec.interactions.histories import Histories
from seqrec.interactions.synthetic import synthetic_interactions
from seqrec.modeling.modeling_auto import MODEL_TYPES
from seqrec.training.arguments import SequentialTrainingArguments
from seqrec.training.checkpoints import checkpoints_in, rows_sha256, training_settings, what_is_missing
from seqrec.training.job import run_job
from seqrec.training.output_folder import find_checkpoint
from seqrec.training.trainer import SequentialTrainer

FIELDS = {"hidden_size": 8, "num_attention_heads": 1, "num_hidden_layers": 1, "max_position_embeddings": 12}
SETTINGS = {
    "num_train_epochs": 3,
    "per_device_train_batch_size": 16,
    "save_total_limit": 9,
    "disable_tqdm": True,
    "seed": 3,
}


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "interactions.csv"
    synthetic_interactions(num_users=60, num_items=40, num_tastes=2, mean_length=10).write_csv(path)
    return path


def run(folder, table, *, model_type="sasrec", fields=FIELDS, data=None, overwrite=False, **settings):
    return run_job(
        DataArguments(dataset=str(table), **(data or {})),
        SequentialTrainingArguments(output_dir=str(folder), **{**SETTINGS, **settings}),
        model_type=model_type,
        config_fields=fields,
        overwrite=overwrite,
    )


def interrupt(*args, **kwargs):
    raise KeyboardInterrupt


class InterruptAfterStep(TrainerCallback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            raise KeyboardInterrupt


def run_and_interrupt(folder, table, step, **options):
    """Train, and stop in the midst of it as Ctrl-C does."""
    original = SequentialTrainer.__init__

    def with_interruption(self, *args, **kwargs):
        original(self, *args, callbacks=[InterruptAfterStep(step)], **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SequentialTrainer, "__init__", with_interruption)
        with pytest.raises(KeyboardInterrupt):
            run(folder, table, **options)


@pytest.fixture(scope="module")
def interrupted(table, tmp_path_factory):
    """The folder of a training that was interrupted after its second checkpoint."""
    folder = tmp_path_factory.mktemp("interrupted") / "model"
    run_and_interrupt(folder, table, step=10)
    assert [path.name for path in checkpoints_in(folder)] == ["checkpoint-4", "checkpoint-8"]
    return folder


@pytest.fixture
def folder(interrupted, tmp_path):
    """A copy of it."""
    return Path(shutil.copytree(interrupted, tmp_path / "model"))


def weights(folder):
    return {name: tensor.tolist() for name, tensor in load_file(folder / "model.safetensors").items()}


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_a_training_interrupted_within_an_epoch_resumes_to_the_same_weights(model_type, table, tmp_path):
    options = {
        "model_type": model_type,
        "load_best_model_at_end": False,
        "eval_strategy": "steps",
        "eval_steps": 3,
        "save_strategy": "steps",
        "save_steps": 3,
    }
    run(tmp_path / "whole", table, **options)
    run_and_interrupt(tmp_path / "again", table, step=7, **options)
    run(tmp_path / "again", table, resume_from_checkpoint="true", **options)
    assert weights(tmp_path / "again") == weights(tmp_path / "whole")


def test_a_training_that_had_stopped_early_is_finished_not_continued(table, tmp_path, monkeypatch):
    options = {"early_stopping_patience": 1, "num_train_epochs": 30, "learning_rate": 0.03}
    whole = run(tmp_path / "whole", table, **options).metrics["training"]
    assert whole["num_epochs"] < 30
    with monkeypatch.context() as patch:
        patch.setattr("seqrec.training.job.measure", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "again", table, **options)
    again = run(tmp_path / "again", table, resume_from_checkpoint="true", **options).metrics["training"]
    assert again["num_epochs"] == whole["num_epochs"]
    assert weights(tmp_path / "again") == weights(tmp_path / "whole")


@pytest.mark.parametrize(
    "name",
    [
        "trainer_state.json",
        "training_settings.json",
        "model.safetensors",
        "optimizer.pt",
        "scheduler.pt",
        "rng_state.pth",
    ],
)
@pytest.mark.parametrize("damage", ["missing", "cut", "empty"])
def test_a_damaged_checkpoint_gives_way_to_the_one_before_it(name, damage, folder, interrupted, table, tmp_path):
    broken = folder / "checkpoint-8" / name
    content = broken.read_bytes()
    broken.unlink()
    if damage != "missing":
        broken.write_bytes(content[: len(content) // 2 if damage == "cut" else 0])
    assert what_is_missing(folder / "checkpoint-8") is not None
    with pytest.raises(ValueError, match=r"checkpoint-8 is not a complete checkpoint: .* is missing or incomplete"):
        run(folder, table, resume_from_checkpoint=str(folder / "checkpoint-8"))
    assert Path(find_checkpoint(folder, "true")).name == "checkpoint-4"


def test_the_newest_complete_checkpoint_is_that_of_the_most_steps(folder):
    """Neither the first by name, as text, nor a folder that only looks like a checkpoint."""
    shutil.copytree(folder / "checkpoint-8", folder / "checkpoint-12")
    (folder / "checkpoint-100").mkdir()
    shutil.copytree(folder / "checkpoint-8", folder / "checkpoint-best")
    assert [path.name for path in checkpoints_in(folder)] == [f"checkpoint-{step}" for step in (4, 8, 12, 100)]
    assert Path(find_checkpoint(folder, "true")).name == "checkpoint-12"


@pytest.mark.parametrize(("checkpoint", "num_steps"), [("true", 4), ("checkpoint-8", 4), ("checkpoint-4", 8)])
def test_only_the_steps_that_are_left_are_taken(checkpoint, num_steps, folder, table, monkeypatch):
    steps = []

    def count(self, *args, **kwargs):
        steps.append(self.state.global_step)
        return training_step(self, *args, **kwargs)

    training_step = SequentialTrainer.training_step
    monkeypatch.setattr(SequentialTrainer, "training_step", count)
    wanted = checkpoint if checkpoint == "true" else str(folder / checkpoint)
    assert run(folder, table, resume_from_checkpoint=wanted).metrics["training"]["resumed"]
    assert steps == list(range(12 - num_steps, 12))


def test_a_training_that_diverges_names_the_last_checkpoint_that_can_be_used(folder, table, monkeypatch):
    (folder / "checkpoint-8" / "optimizer.pt").unlink()
    shutil.copytree(folder / "checkpoint-4", folder / "checkpoint-6")

    def diverge(*args, **kwargs):
        raise NonFiniteError("The loss is nan.")

    monkeypatch.setattr(SequentialTrainer, "training_step", diverge)
    with pytest.raises(NonFiniteError, match=r"The loss is nan\. The last good checkpoint is .*checkpoint-6\."):
        run(folder, table, resume_from_checkpoint=str(folder / "checkpoint-4"))


def test_without_a_complete_checkpoint_a_new_training_may_begin(folder, table):
    for checkpoint in checkpoints_in(folder):
        (checkpoint / "trainer_state.json").unlink()
    with pytest.raises(ValueError, match=r"no complete checkpoint .* Leave out `resume_from_checkpoint`"):
        run(folder, table, resume_from_checkpoint="true")
    run(folder, table, num_train_epochs=1)
    assert checkpoints_in(folder) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rate": 0.5}, "learning_rate was 0.001 and is now 0.5"),
        ({"seed": 4}, "seed was 3 and is now 4"),
        ({"per_device_train_batch_size": 8}, "per_device_train_batch_size was 16 and is now 8"),
        ({"num_train_epochs": 4}, "num_train_epochs was 3 and is now 4"),
        ({"packing": False}, "packing was True and is now False"),
        ({"exclude_seen": False}, "exclude_seen was True and is now False"),
        ({"model_type": "esasrec"}, "model_type was 'sasrec' and is now 'esasrec'"),
        ({"fields": {**FIELDS, "num_hidden_layers": 2}}, "num_hidden_layers was 1 and is now 2"),
        ({"fields": {**FIELDS, "loss": "bce"}}, "loss was 'cross_entropy' and is now 'bce'"),
        ({"data": {"validation_users": 20}}, "other histories; it was validated on other rows"),
        ({"data": {"split_method": "temporal"}}, "other histories; it was validated on other rows"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(options, message, folder, table):
    with pytest.raises(ValueError, match=message) as refused:
        run(folder, table, resume_from_checkpoint="true", **options)
    assert "\n" not in str(refused.value)
    assert len(checkpoints_in(folder)) == 2


def test_a_checkpoint_of_an_earlier_version_is_refused(folder, table):
    path = checkpoints_in(folder)[-1] / "training_settings.json"
    settings = json.loads(path.read_text())
    assert settings.pop("ema_decay") == 0
    path.write_text(json.dumps(settings))
    with pytest.raises(ValueError, match="an earlier version of seqrec did not record ema_decay, which is now 0"):
        run(folder, table, resume_from_checkpoint="true")


def test_a_checkpoint_with_other_items_of_the_same_number_is_refused(folder, table, tmp_path):
    other = tmp_path / "other.csv"
    frame = synthetic_interactions(num_users=60, num_items=40, num_tastes=2, mean_length=10)
    frame.with_columns(item_id="new" + frame["item_id"]).write_csv(other)
    with pytest.raises(ValueError, match="its vocabulary has other items"):
        run(folder, other, resume_from_checkpoint="true")


def test_histories_have_one_hash_however_they_are_stored():
    """Views that overlap, copies of them, and copies in another type have one; other rows have others."""
    columns = {"input_ids": np.arange(3, 13, dtype=np.int32), "timestamps": np.arange(10) / 2}
    views = Histories(columns, np.array([0, 0, 4]), np.array([3, 6, 2]), {"target": np.array([6, 9, 9])})
    names = ["input_ids", "timestamps", "target"]
    expected = rows_sha256(views, names)
    copies = views.to_dataset()
    assert rows_sha256(copies, names) == expected
    assert rows_sha256(copies.cast_column("input_ids", List(Value("int64"))), names) == expected
    others = (
        (replace(views, rows={"target": np.array([6, 9, 8])}), names),
        (views.select([1, 0, 2]), names),
        (views.newest(3), names),
        (replace(views, columns=columns | {"timestamps": np.arange(10) / 4}), names),
        (views, ["input_ids", "target"]),
    )
    hashes = {rows_sha256(rows, some) for rows, some in others}
    assert len(hashes) == len(others)
    assert expected not in hashes
    assert rows_sha256(None, names) is None


def test_a_training_on_other_values_of_a_column_is_another(tokenizer, tmp_path):
    config = SasRecConfig(vocab_size=len(tokenizer), context_columns=["device"])
    arguments = SequentialTrainingArguments(str(tmp_path))

    def settings(devices):
        rows = Histories.from_lists({"input_ids": [[3, 4]], "device": [devices]}, {"target": [5]})
        return training_settings(config, arguments, tokenizer, rows, rows)

    one, other = settings([1, 2]), settings([1, 1])
    assert {name for name in one if one[name] != other[name]} == {"train_sha256", "eval_sha256"}


def test_arguments_that_decide_nothing_may_differ(folder, table):
    run(folder, table, resume_from_checkpoint="true", per_device_eval_batch_size=7, logging_steps=2, license="mit")


def test_a_moved_folder_still_ends_with_its_best_model(interrupted, table, tmp_path):
    shutil.copytree(interrupted, tmp_path / "here")
    whole = run(tmp_path / "whole", table, learning_rate=0.001)
    moved = run(tmp_path / "here", table, resume_from_checkpoint="true")
    assert moved.metrics["training"]["best_epoch"] == whole.metrics["training"]["best_epoch"]
    assert weights(tmp_path / "here") == weights(tmp_path / "whole")


def test_a_best_checkpoint_that_is_gone_is_told(interrupted, table, tmp_path):
    folder = Path(shutil.copytree(interrupted, tmp_path / "model"))
    state_file = folder / "checkpoint-8" / "trainer_state.json"
    state = json.loads(state_file.read_text())
    state |= {"best_global_step": 4, "best_model_checkpoint": str(folder / "checkpoint-4")}
    state_file.write_text(json.dumps(state))
    shutil.rmtree(folder / "checkpoint-4")
    with pytest.raises(ValueError, match=r"The best checkpoint, checkpoint-4, is missing"):
        run(folder, table, resume_from_checkpoint="true")
