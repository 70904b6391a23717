"""Training gives the same result in one process, in two, when resumed, and with any of the three loops."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from huggingface_hub import ModelCard
from transformers import Trainer, TrainingArguments

from seqrec import AutoModelForNextItem, NextItemCollator, SequentialTrainer, SequentialTrainingArguments
from seqrec.evaluation.evaluator import rank_dataset
from seqrec.evaluation.metrics import ranking_metrics
from seqrec.interactions.histories import Histories, as_histories
from seqrec.training import row_sharing
from seqrec.training.accelerate_loop import train_with_accelerate

SCRIPT = Path(__file__).parents[1] / "fixtures" / "train_tiny.py"
sys.path.insert(0, str(SCRIPT.parent))
from train_tiny import tiny_data, tiny_model


@pytest.fixture(scope="module")
def run_script(forks):
    """Trains in a process, or several, of its own; returns what it wrote down."""

    def run(folder, *flags, processes=1, check=True):
        if processes == 1:
            finished = forks.run(SCRIPT, "--output_dir", folder, *flags, OMP_NUM_THREADS="1")
        else:
            launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
            command = [sys.executable, *launcher, str(SCRIPT), "--output_dir", str(folder), *flags]
            environment = {**os.environ, "OMP_NUM_THREADS": "1"}
            finished = subprocess.run(
                command, env=environment, capture_output=True, text=True, check=False, timeout=600
            )
        if not check:
            return finished
        assert finished.returncode == 0, finished.stderr[-3000:]
        return json.loads((folder / "result.json").read_text())

    return run


@pytest.fixture(scope="module")
def one_process(run_script, tmp_path_factory):
    """The training that others are compared with, by the Trainer and by the bare loop."""
    return run_script(tmp_path_factory.mktemp("one"), "--batch_size", "16", "--bare_loop_too")


def assert_same_training(result, expected):
    """Compare losses and metrics to 1e-5; weights less closely, as Adam magnifies gradients that are all rounding."""
    for key in ("losses", "validation", "test", "bare_losses"):
        torch.testing.assert_close(result[key], expected[key], atol=1e-5, rtol=1e-5)
    for key in ("weights", "bare_weights"):
        torch.testing.assert_close(result[key], expected[key], atol=1e-3, rtol=1e-3)


def test_training_learns(one_process):
    assert len(one_process["losses"]) == 12
    assert sum(one_process["losses"][-4:]) < 0.95 * sum(one_process["losses"][:4])


def test_two_processes_train_as_one(run_script, one_process, tmp_path):
    assert_same_training(run_script(tmp_path, "--batch_size", "8", "--bare_loop_too", processes=2), one_process)


def test_two_processes_share_a_stream(run_script, tmp_path):
    """Padded, so that the processes' batches differ in width."""
    whole = run_script(tmp_path / "one", "--stream", "--batch_size", "16")
    shared = run_script(tmp_path / "two", "--stream", "--batch_size", "8", processes=2)
    for key in ("losses", "validation", "test"):
        torch.testing.assert_close(shared[key], whole[key], atol=1e-5, rtol=1e-5)


def test_accumulated_gradients_train_as_whole_batches(run_script, one_process, tmp_path):
    flags = ("--batch_size", "4", "--accumulation", "4", "--bare_loop_too")
    assert_same_training(run_script(tmp_path, *flags), one_process)


def test_a_killed_training_resumes_to_the_same_weights(run_script, tmp_path):
    flags = ["--dropout", "0.2", "--epochs", "20", "--patience", "3"]
    whole = run_script(tmp_path / "whole", *flags)
    assert 12 < len(whole["losses"]) < 80  # it stopped early, which the resumed training must do too
    killed = run_script(tmp_path / "killed", *flags, "--kill_after_step", str(len(whole["losses"]) - 2), check=False)
    assert killed.returncode == -9
    assert run_script(tmp_path / "killed", *flags, "--resume") == whole


def arguments(folder, **others):
    return SequentialTrainingArguments(
        output_dir=str(folder),
        num_train_epochs=1,
        disable_tqdm=True,
        per_device_train_batch_size=64,
        **others,
    )


def first_loss_and_weights(trainer):
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return losses[0], trainer.model.state_dict()


@pytest.mark.parametrize("packing", [True, False])
def test_plain_trainer_and_bare_loop_train_the_same_model(tmp_path, packing):
    sequences, tokenizer = tiny_data()
    collator = NextItemCollator(tokenizer, 12, packing=packing)
    ours = SequentialTrainer(
        tiny_model(len(tokenizer)),
        arguments(tmp_path / "ours", packing=packing),
        processing_class=tokenizer,
        train_dataset=sequences["train"],
        eval_dataset=sequences["validation"],
    )
    plain = Trainer(
        tiny_model(len(tokenizer)),
        TrainingArguments(
            output_dir=str(tmp_path / "plain"),
            num_train_epochs=1,
            per_device_train_batch_size=64,
            learning_rate=1e-3,
            adam_beta2=0.98,
            logging_steps=1,
            save_strategy="no",
            disable_tqdm=True,
            use_cpu=True,
            dataloader_pin_memory=False,
        ),
        data_collator=collator,
        train_dataset=sequences["train"],
    )
    loss, weights = first_loss_and_weights(ours)
    plain_loss, plain_weights = first_loss_and_weights(plain)
    bare_losses = []
    bare = train_with_accelerate(
        tiny_model(len(tokenizer)),
        sequences["train"],
        collator,
        num_epochs=1,
        batch_size=64,
        accelerator=Accelerator(cpu=True),
        after_epoch=lambda _, mean_loss: bare_losses.append(mean_loss),
    )
    assert plain_loss == pytest.approx(loss, abs=1e-5)
    assert bare_losses == [pytest.approx(loss, abs=1e-5)]
    torch.testing.assert_close(plain_weights, weights, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(bare.state_dict(), weights, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("loop", ["ours", "plain", "bare"])
def test_histories_and_a_data_set_of_their_rows_train_the_same_model(loop, tmp_path):
    sequences, tokenizer = tiny_data()
    histories = as_histories(sequences["train"], ["input_ids", "timestamps"])
    found = []
    for rows in (histories, histories.to_dataset()):
        model, collator = tiny_model(len(tokenizer)), NextItemCollator(tokenizer, 12)
        settings = arguments(tmp_path, eval_strategy="no", save_strategy="no", load_best_model_at_end=False)
        if loop == "bare":
            train_with_accelerate(model, rows, collator, num_epochs=1, accelerator=Accelerator(cpu=True))
        elif loop == "plain":
            Trainer(model, settings, data_collator=collator, train_dataset=rows).train()
        else:
            SequentialTrainer(model, settings, processing_class=tokenizer, train_dataset=rows).train()
        found.append(model.state_dict())
    torch.testing.assert_close(*found, rtol=0, atol=0)


def test_batches_come_to_the_collator_as_histories(tmp_path):
    """Not a row at a time, as the library would hand them on to leave columns out."""
    sequences, tokenizer = tiny_data()
    trainer = SequentialTrainer(
        tiny_model(len(tokenizer)),
        arguments(tmp_path, eval_strategy="no", load_best_model_at_end=False),
        processing_class=tokenizer,
        train_dataset=sequences["train"],
        data_collator=lambda rows: {"kind": type(rows), "names": rows.column_names},
    )
    batch = next(iter(trainer.get_train_dataloader()))
    assert batch["kind"] is Histories
    assert "input_ids" in batch["names"]


@pytest.mark.parametrize("process", [0, 1, 2])
def test_processes_share_out_rows_that_are_views(process, tmp_path, monkeypatch):
    """Of a Ranking gathered from three processes, each row's is its own."""
    sequences, tokenizer = tiny_data()
    held_out = as_histories(sequences["validation"], ["input_ids", "target"]).select(range(11))
    trainer = SequentialTrainer(
        tiny_model(len(tokenizer)), arguments(tmp_path), processing_class=tokenizer, eval_dataset=held_out
    )
    whole = trainer.rank(held_out, list_length=3)
    parts = [
        rank_dataset(trainer.model, held_out.select(range(start, 11, 3)), max_length=12, list_length=3)
        for start in range(3)
    ]
    monkeypatch.setattr(SequentialTrainingArguments, "world_size", 3)
    monkeypatch.setattr(SequentialTrainingArguments, "process_index", process)

    def gather(own):
        assert own[0]["ranks_U"].tolist() == parts[process].ranks_U.tolist()
        return [vars(part) for part in parts]

    monkeypatch.setattr(row_sharing, "gather_object", gather)
    shared = trainer.rank(held_out, list_length=3)
    assert shared.ranks_U.tolist() == whole.ranks_U.tolist()
    assert shared.top_UK.tolist() == whole.top_UK.tolist()


def test_validation_is_the_evaluator_s(tmp_path):
    sequences, tokenizer = tiny_data()
    trainer = SequentialTrainer(
        tiny_model(len(tokenizer)),
        arguments(tmp_path),
        processing_class=tokenizer,
        eval_dataset=sequences["validation"],
    )
    ranks = rank_dataset(trainer.model, sequences["validation"], max_length=12).ranks_U
    assert trainer.evaluate()["eval_ndcg@10"] == ranking_metrics(ranks, [10])["ndcg@10"]


def test_without_validation_rows_it_trains_but_cannot_evaluate(tmp_path):
    sequences, tokenizer = tiny_data()
    settings = arguments(tmp_path, eval_strategy="no", load_best_model_at_end=False)
    trainer = SequentialTrainer(
        tiny_model(len(tokenizer)), settings, processing_class=tokenizer, train_dataset=sequences["train"]
    )
    trainer.train()
    with pytest.raises(ValueError, match="nothing to evaluate on"):
        trainer.evaluate()


def test_training_stops_early_and_ends_with_the_best_model(tmp_path):
    sequences, tokenizer = tiny_data()
    settings = arguments(tmp_path, learning_rate=0.05, early_stopping_patience=2)
    settings.num_train_epochs = 30
    trainer = SequentialTrainer(
        tiny_model(len(tokenizer)),
        settings,
        processing_class=tokenizer,
        train_dataset=sequences["train"],
        eval_dataset=sequences["validation"],
    )
    trainer.train()
    found = [entry["eval_ndcg@10"] for entry in trainer.state.log_history if "eval_ndcg@10" in entry]
    assert len(found) < 30
    assert found.index(max(found)) == len(found) - 3
    assert trainer.evaluate()["eval_ndcg@10"] == max(found)


def test_a_saved_model_holds_no_pickle(tmp_path):
    sequences, tokenizer = tiny_data()
    trainer = SequentialTrainer(
        tiny_model(len(tokenizer)),
        arguments(tmp_path),
        processing_class=tokenizer,
        eval_dataset=sequences["validation"],
    )
    trainer.save_model()
    names = {path.name for path in tmp_path.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "modeling_sasrec.py"} <= names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pkl"))]


def test_sparse_updates_need_a_loss_that_samples(tmp_path):
    _, tokenizer = tiny_data()
    arguments = SequentialTrainingArguments(output_dir=str(tmp_path), sparse_item_updates=True)
    with pytest.raises(ValueError, match="samples its negatives"):
        SequentialTrainer(tiny_model(len(tokenizer)), arguments, processing_class=tokenizer)


def test_card_names_the_license_and_the_model_that_was_trained_further(tmp_path):
    _, tokenizer = tiny_data()
    commit = "0" * 40
    repository = tmp_path / "cache" / "models--someone--sasrec"
    snapshot = repository / "snapshots" / commit
    tiny_model(len(tokenizer)).save_pretrained(snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)

    def card(name, **options):
        model = AutoModelForNextItem.from_pretrained(name, **options)
        trainer = SequentialTrainer(
            model,
            arguments(tmp_path / "model", license="mit", eval_strategy="no", load_best_model_at_end=False),
            processing_class=tokenizer,
        )
        trainer.save_model()
        trainer.create_model_card()
        return ModelCard.load(tmp_path / "model" / "README.md").data

    from_hub = card("someone/sasrec", cache_dir=tmp_path / "cache")
    assert (from_hub.license, from_hub.base_model) == ("mit", "someone/sasrec")
    assert card(snapshot).base_model is None
