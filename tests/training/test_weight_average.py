"""With `ema_decay`, validation and the saved model use the average of the weights, also after resuming."""

import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import TrainerCallback

from seqrec import SequentialTrainer, SequentialTrainingArguments
from seqrec.errors import InputError, SavedFolderError
from seqrec.modeling.objectives import training_collator
from seqrec.training.accelerate_loop import train_with_accelerate
from seqrec.training.weight_average import RAW_WEIGHTS, WeightAverage

sys.path.insert(0, str(Path(__file__).parents[1] / "fixtures"))
from train_tiny import tiny_data, tiny_model

SEQUENCES, TOKENIZER = tiny_data()
DECAY = 0.8
CASES = {
    "packed": ({}, {}),
    "padded": ({"packing": False}, {}),
    "sparse updates": ({"sparse_item_updates": True}, {"loss": "sampled_softmax", "num_negatives": 8}),
    "bf16": ({"bf16": True}, {}),
    "accumulated": ({"gradient_accumulation_steps": 2}, {}),
}


def copy_of(model):
    return {name: one.detach().clone() for name, one in model.named_parameters()}


def naive_average(states, decay=DECAY):
    """Average states, the first of them the initial one, name by name and step by step."""
    average = dict(states[0])
    for step, state in enumerate(states[1:]):
        present = min(decay, (1 + step) / (10 + step))
        average = {name: present * average[name] + (1 - present) * state[name] for name in average}
    return average


class Watch(TrainerCallback):
    """Notes the weights after each step and during each evaluation; stops after some epochs."""

    def __init__(self, stop_after=None):
        self.states, self.evaluated, self.stop_after = [], [], stop_after

    def on_train_begin(self, args, state, control, model, **kwargs):
        self.states.append(copy_of(model))

    def on_step_end(self, args, state, control, model, **kwargs):
        self.states.append(copy_of(model))

    def on_evaluate(self, args, state, control, model, **kwargs):
        self.evaluated.append((copy_of(model), len(self.states)))

    def on_save(self, args, state, control, **kwargs):
        if self.stop_after is not None and state.epoch >= self.stop_after:
            control.should_training_stop = True


def trainer_in(folder, fields=None, stop_after=None, **settings):
    watch = Watch(stop_after)
    model = tiny_model(len(TOKENIZER))
    for name, value in (fields or {}).items():
        setattr(model.config, name, value)
    model = type(model)(model.config)
    base = {"num_train_epochs": 4, "learning_rate": 0.01, "disable_tqdm": True, "use_cpu": True, "ema_decay": DECAY}
    trainer = SequentialTrainer(
        model,
        SequentialTrainingArguments(output_dir=str(folder), **{**base, **settings}),
        processing_class=TOKENIZER,
        train_dataset=SEQUENCES["train"],
        eval_dataset=SEQUENCES["validation"],
        callbacks=[watch],
    )
    return trainer, watch


def assert_equal(found, wanted, **tolerance):
    assert found.keys() == wanted.keys()
    for name in found:
        torch.testing.assert_close(found[name], wanted[name], **tolerance)


def test_the_average_is_that_of_the_formula():
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    average, states = WeightAverage(model, DECAY), [copy_of(model)]
    for _ in range(40):
        with torch.no_grad():
            for one in model.parameters():
                one.add_(torch.randn_like(one))
        states.append(copy_of(model))
        average.update()
    before = copy_of(model)
    with average.applied() as weights:
        assert_equal(copy_of(model), naive_average(states))
        assert_equal(weights, before)
    assert_equal(copy_of(model), before, rtol=0, atol=0)


def test_weights_of_low_precision_have_averages_of_high_precision():
    model = nn.Linear(3, 2).to(torch.bfloat16)
    average = WeightAverage(model, 0.9999)
    average.num_updates = 10**6
    first = copy_of(model)
    with torch.no_grad():
        for one in model.parameters():
            one.add_(1)
    for _ in range(50):
        average.update()
    moved = average.averages[0] - first["weight"].float()
    assert moved.dtype == torch.float32
    torch.testing.assert_close(moved, torch.full_like(moved, 50e-4), rtol=0.1, atol=1e-5)


@pytest.mark.filterwarnings("ignore:This processor has no instructions for bfloat16")
@pytest.mark.parametrize(("settings", "fields"), CASES.values(), ids=CASES)
def test_validation_and_the_model_use_the_average(tmp_path, settings, fields):
    trainer, watch = trainer_in(
        tmp_path, fields, num_train_epochs=2, save_strategy="no", load_best_model_at_end=False, **settings
    )
    trainer.train()
    assert len(watch.evaluated) == 2
    for weights, steps in watch.evaluated:
        assert_equal(weights, naive_average(watch.states[:steps]))
    assert_equal(copy_of(trainer.model), naive_average(watch.states))
    logged = [entry["eval_ndcg@10"] for entry in trainer.state.log_history if "eval_ndcg@10" in entry]
    assert trainer.evaluate()["eval_ndcg@10"] == logged[-1]


def test_without_it_nothing_changes(tmp_path):
    first, _ = trainer_in(tmp_path / "a", ema_decay=0.0)
    first.train()
    averaged, watch = trainer_in(tmp_path / "b")
    averaged.train()
    plain, plain_watch = trainer_in(tmp_path / "c", ema_decay=0.0)
    plain.train()
    assert_equal(copy_of(first.model), copy_of(plain.model), rtol=0, atol=0)
    assert_equal(watch.states[-1], plain_watch.states[-1], rtol=0, atol=0)  # the steps are the same
    assert first.averaged_weights is None


def test_the_best_checkpoint_has_averages_and_resuming_keeps_both(tmp_path):
    whole, watch = trainer_in(tmp_path / "whole")
    whole.train()
    best = whole.state.best_global_step
    assert_equal(copy_of(whole.model), naive_average(watch.states[: best + 1]))

    stopped, _ = trainer_in(tmp_path / "halves", stop_after=2)
    stopped.train()
    resumed, again = trainer_in(tmp_path / "halves")
    resumed.train(resume_from_checkpoint=True)
    assert_equal(again.states[-1], watch.states[-1])
    assert_equal(copy_of(resumed.model), copy_of(whole.model))
    checkpoint = next(path.parent for path in (tmp_path / "halves").glob(f"*/{RAW_WEIGHTS}"))
    raw = load_file(checkpoint / RAW_WEIGHTS)
    step = int(checkpoint.name.partition("-")[2])
    assert_equal(raw, watch.states[step])

    other, _ = trainer_in(tmp_path / "halves", ema_decay=0.5)
    with pytest.raises(InputError, match=r"ema_decay was 0\.8 and is now 0\.5"):
        other.train(resume_from_checkpoint=True)
    for path in (tmp_path / "halves").glob(f"*/{RAW_WEIGHTS}"):
        path.unlink()
    broken, _ = trainer_in(tmp_path / "halves")
    with pytest.raises(SavedFolderError, match=f"{RAW_WEIGHTS} is missing"):
        broken.train(resume_from_checkpoint=True)


def test_the_bare_loop_averages_too():
    model = tiny_model(len(TOKENIZER))
    seen, states = [], [copy_of(model)]
    update = WeightAverage.update

    def noting(self):
        states.append(copy_of(model))
        update(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(WeightAverage, "update", noting)
        trained = train_with_accelerate(
            model,
            SEQUENCES["train"],
            training_collator(model, TOKENIZER),
            num_epochs=2,
            ema_decay=DECAY,
            after_epoch=lambda epoch, loss: seen.append((copy_of(model), len(states))),
        )
    for weights, steps in seen:
        assert_equal(weights, naive_average(states[:steps]))
    assert_equal(copy_of(trained), naive_average(states))


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
def test_decays_out_of_range_are_refused(tmp_path, decay):
    with pytest.raises(InputError, match=f"ema_decay={decay} must be at least 0 and below 1"):
        SequentialTrainingArguments(output_dir=str(tmp_path), ema_decay=decay)
