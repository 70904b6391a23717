"""Training on a set that is mapped into memory is training on the set in memory, also after an interruption."""

import json

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from seqrec.cli.command_line import main
from seqrec.interactions.data_arguments import DataArguments
from seqrec.interactions.large_preparation import prepare_large
from seqrec.interactions.large_sources import find_source
from seqrec.interactions.preparation import prepare
from seqrec.interactions.synthetic import synthetic_interactions
from seqrec.training.arguments import SequentialTrainingArguments
from seqrec.training.job import run_job
from seqrec.training.trainer import SequentialTrainer


class InterruptAfterStep(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 10:
            raise KeyboardInterrupt


def train(folder, dataset, **settings):
    """Train a small model, and return its weights and metrics."""
    run_job(
        DataArguments(dataset=str(dataset)),
        SequentialTrainingArguments(
            output_dir=str(folder), num_train_epochs=3, per_device_train_batch_size=16, disable_tqdm=True, **settings
        ),
        config_fields={"hidden_size": 8, "num_attention_heads": 1, "num_hidden_layers": 1},
    )
    return load_file(folder / "model.safetensors"), json.loads((folder / "metrics.json").read_text())


def assert_same_weights(first, second):
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_training_and_evaluation_are_those_in_memory(tmp_path, capsys):
    table = tmp_path / "log.parquet"
    synthetic_interactions(num_users=60, num_items=40, num_tastes=2, mean_length=10).write_parquet(table)
    arguments = DataArguments(dataset=str(table))
    prepare(arguments).save(tmp_path / "memory")
    prepare_large(arguments, find_source(str(table)), tmp_path / "large", rows_per_part=100)
    expected, metrics = train(tmp_path / "a", tmp_path / "memory")
    found, other_metrics = train(tmp_path / "b", tmp_path / "large")
    assert_same_weights(found, expected)
    assert other_metrics["model"] == metrics["model"]
    assert other_metrics["item_knn"] == metrics["item_knn"]
    with pytest.MonkeyPatch.context() as patch:
        original = SequentialTrainer.__init__
        patch.setattr(
            SequentialTrainer,
            "__init__",
            lambda self, *args, **kwargs: original(self, *args, callbacks=[InterruptAfterStep()], **kwargs),
        )
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "c", tmp_path / "large")
    resumed, _ = train(tmp_path / "c", tmp_path / "large", resume_from_checkpoint="true")
    assert_same_weights(resumed, expected)
    capsys.readouterr()
    flags = ["--dataset", str(tmp_path / "large"), "--json"]
    assert main(["evaluate", "--model", str(tmp_path / "b"), *flags[:2]]) == 0
