"""Training of several tasks: by each loop, accumulated, in several processes, and resumed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from transformers import Trainer, TrainingArguments

from seqrec import SasRecConfig, SasRecForNextItem, SequentialTrainer, SequentialTrainingArguments
from seqrec.interactions.histories import Histories
from seqrec.modeling.objectives import training_collator
from seqrec.training.accelerate_loop import train_with_accelerate
from seqrec.training.task_setup import PRIOR_LABELS, fit_label_means, with_rating_scale
from seqrec.training.task_training import TaskTraining

SCRIPT = Path(__file__).parents[1] / "fixtures" / "train_tiny.py"
sys.path.insert(0, str(SCRIPT.parent))
from train_tiny import tiny_data, tiny_model, with_labels

TASKS = {"tasks": ["next_item", "rating", "like"], "rating_scale": [1, 5], "past_labels": ["rating"]}


def run(folder, *flags, processes=1, check=True):
    """Train in processes of their own; return what they wrote down."""
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"] if processes > 1 else []
    command = [sys.executable, *launcher, str(SCRIPT), "--output_dir", str(folder), *flags]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=600)
    assert not check or finished.returncode == 0, finished.stderr[-3000:]
    return json.loads((folder / "result.json").read_text()) if check else finished


def assert_same_training(result, expected):
    """Compare losses to 1e-5; weights less closely, as Adam magnifies gradients that are all rounding."""
    for key in ("losses", "tasks", "validation", "bare_losses"):
        torch.testing.assert_close(result[key], expected[key], atol=1e-5, rtol=1e-5)
    for key in ("weights", "bare_weights"):
        torch.testing.assert_close(result[key], expected[key], atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("tasks", ["fixed", "learned"])
def test_parts_of_a_batch_and_processes_train_as_one(tmp_path, tasks):
    flags = ("--tasks", tasks, "--bare_loop_too", "--epochs", "2")
    whole = run(tmp_path / "whole", *flags, "--batch_size", "64")
    assert all(logged.keys() == {"loss_next_item", "loss_rating", "loss_like"} for logged in whole["tasks"])
    assert {"eval_ndcg@10", "eval_rating_rmse", "eval_like_auc", "eval_like_ece"} <= whole["validation"][-1].keys()
    assert_same_training(run(tmp_path / "parts", *flags, "--batch_size", "16", "--accumulation", "4"), whole)
    assert_same_training(run(tmp_path / "two", *flags, "--batch_size", "32", processes=2), whole)


def test_a_training_of_several_tasks_resumes_to_the_same_weights(tmp_path):
    flags = ("--tasks", "learned", "--dropout", "0.2", "--epochs", "3")
    whole = run(tmp_path / "whole", *flags)
    assert run(tmp_path / "killed", *flags, "--kill_after_step", "6", check=False).returncode == -9
    assert run(tmp_path / "killed", *flags, "--resume") == whole


def labelled_data():
    sequences, tokenizer = tiny_data()
    return with_labels(sequences)["train"], tokenizer


def train(trainer_class, folder, model, rows, tokenizer, **settings):
    """Train for one epoch by a Trainer; return the entries of its log."""
    settings = {
        "logging_strategy": "steps",
        "logging_steps": 1,
        "learning_rate": 1e-2,
        "adam_beta2": 0.98,
        "disable_tqdm": True,
        **settings,
    }
    settings |= {"num_train_epochs": 1, "save_strategy": "no", "use_cpu": True, "report_to": "none"}
    if trainer_class is SequentialTrainer:
        arguments = SequentialTrainingArguments(
            str(folder), eval_strategy="no", load_best_model_at_end=False, **settings
        )
        trainer = SequentialTrainer(model, arguments, processing_class=tokenizer, train_dataset=rows)
    else:
        arguments = TrainingArguments(str(folder), dataloader_pin_memory=False, remove_unused_columns=False, **settings)
        trainer = trainer_class(model, arguments, data_collator=training_collator(model, tokenizer), train_dataset=rows)
    trainer.train()
    return [entry for entry in trainer.state.log_history if "loss" in entry]


def test_all_loops_train_the_same_model(tmp_path):
    rows, tokenizer = labelled_data()
    found = []
    for trainer_class in (SequentialTrainer, Trainer, TaskTraining):
        model = tiny_model(len(tokenizer), **TASKS)
        logged = train(trainer_class, tmp_path, model, rows, tokenizer, per_device_train_batch_size=64)
        found.append((logged[0]["loss"], model.state_dict()))
    model, losses = tiny_model(len(tokenizer), **TASKS), []
    collator, after_epoch = training_collator(model, tokenizer), lambda _, loss: losses.append(loss)
    settings = {"num_epochs": 1, "learning_rate": 1e-2, "accelerator": Accelerator(cpu=True)}
    train_with_accelerate(model, rows, collator, after_epoch=after_epoch, **settings)
    for loss, weights in found:
        assert loss == pytest.approx(losses[0], abs=1e-4)
        torch.testing.assert_close(weights, model.state_dict(), atol=1e-4, rtol=1e-4)


def test_accumulation_is_exact_with_the_counts_of_all_tasks(tmp_path):
    """`Trainer` counts next items alone, so it weights the means of the batches by these."""
    rows, tokenizer = labelled_data()
    found = {}
    for trainer_class, accumulation in ((TaskTraining, 1), (TaskTraining, 8), (Trainer, 8)):
        settings = {"per_device_train_batch_size": 64 // accumulation, "gradient_accumulation_steps": accumulation}
        model = tiny_model(len(tokenizer), **TASKS)
        found[trainer_class, accumulation] = train(trainer_class, tmp_path, model, rows, tokenizer, **settings)[0][
            "loss"
        ]
    assert found[TaskTraining, 8] == pytest.approx(found[TaskTraining, 1], abs=1e-5)
    assert found[Trainer, 8] == pytest.approx(found[TaskTraining, 1], rel=0.02)


def test_losses_of_tasks_are_logged_apart(tmp_path):
    rows, tokenizer = labelled_data()
    model = tiny_model(len(tokenizer), **TASKS)
    settings = {"per_device_train_batch_size": 8, "logging_steps": 4, "learning_rate": 1e-9}
    logged = train(SequentialTrainer, tmp_path, model, rows, tokenizer, **settings)
    assert len(logged) == 2
    batches = [training_collator(model, tokenizer)(rows)]
    expected = model.train()(**batches[0]).losses
    for task in ("rating", "like"):  # each entry covers half of the histories
        values = [entry[f"loss_{task}"] for entry in logged]
        assert min(values) - 1e-5 <= expected[task] <= max(values) + 1e-5
    plain = train(SequentialTrainer, tmp_path, tiny_model(len(tokenizer)), rows, tokenizer)
    assert not [name for entry in plain for name in entry if name.startswith("loss_")]


def test_ratings_outside_the_scale_and_equal_labels_are_refused(tmp_path):
    rows, tokenizer = labelled_data()
    fields = {**TASKS, "rating_scale": [1, 4]}
    with pytest.raises(ValueError, match=r"are outside rating_scale=\[1.0, 4.0\]"):
        train(SequentialTrainer, tmp_path, tiny_model(len(tokenizer), **fields), rows, tokenizer)
    rows.columns["like"][:] = 1
    with pytest.raises(ValueError, match="All labels of 'like' in training are 1"):
        train(SequentialTrainer, tmp_path, tiny_model(len(tokenizer), **TASKS), rows, tokenizer)


def test_a_new_model_is_fitted_to_the_labels():
    rows = Histories.from_lists(
        {
            "input_ids": [[5, 6, 7], [8]],
            "rating": [[2.0, np.nan, 5.0], [3.5]],
            "click": [[1.0, 1.0, 1.0], [1.0]],
            "impression_ids": [[9, 10], [11, 9]],
            "impression_places": [[1, 1], [1, 1]],
        }
    )
    fields = with_rating_scale({"tasks": ["next_item", "rating", "click"]}, rows)
    assert fields["rating_scale"] == [2.0, 5.0]
    assert with_rating_scale({"tasks": ["next_item", "rating"], "rating_scale": [1, 5]}, rows)["rating_scale"] == [1, 5]
    assert "rating_scale" not in with_rating_scale({}, rows)
    model = SasRecForNextItem(SasRecConfig(vocab_size=13, hidden_size=8, intermediate_size=8, **fields)).eval()
    fit_label_means(model, rows)
    found = model.predict_tasks(model.encode_users(torch.tensor([[5, 6]])), torch.tensor([[5, 7, 12]]))
    means = [(2 + PRIOR_LABELS * 3.5) / (1 + PRIOR_LABELS), (5 + PRIOR_LABELS * 3.5) / (1 + PRIOR_LABELS), 3.5]
    torch.testing.assert_close(found["rating"], torch.tensor([means]))
    found = model.predict_tasks(model.encode_users(torch.tensor([[5, 6]])), torch.tensor([[5, 9, 12]]))
    means = [(1 + PRIOR_LABELS * 0.5) / (1 + PRIOR_LABELS), PRIOR_LABELS * 0.5 / (2 + PRIOR_LABELS), 0.5]
    torch.testing.assert_close(found["click"], torch.tensor([means]))
