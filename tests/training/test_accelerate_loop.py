"""The Accelerate loop agrees with the same steps by hand, also with two processes that have the same batches."""

import copy
from contextlib import contextmanager

import pytest
import torch
from accelerate import Accelerator
from datasets import Dataset

from seqrec import SasRecConfig, SasRecForNextItem
from seqrec.interactions.collators import MaskedItemCollator, NextItemCollator
from seqrec.training import accelerate_loop
from seqrec.training.accelerate_loop import train_epoch, train_with_accelerate

HISTORIES = [[5, 9], [3, 4, 5, 6, 7, 8, 9, 10], [20, 21, 22], [11, 30, 12, 31, 13], [7, 8]]


class Recording(Accelerator):
    """One of several processes that all have the same batches, and so the same losses and gradients.

    What is summed over them is a multiple of its own share; what is averaged is its own. It notes of each backward
    pass whether gradients would be exchanged after it.
    """

    def __init__(self, num_processes):
        super().__init__(cpu=True)
        self.number, self.holds_back, self.exchanged = num_processes, False, []

    @property
    def num_processes(self):
        return self.number

    def reduce(self, tensor, reduction="sum", scale=1.0):
        return tensor * self.number

    @contextmanager
    def no_sync(self, model):
        self.holds_back = True
        yield
        self.holds_back = False

    def backward(self, loss, **kwargs):
        self.exchanged.append(not self.holds_back)
        super().backward(loss, **kwargs)


@pytest.fixture
def model():
    torch.manual_seed(0)
    config = SasRecConfig(
        vocab_size=43, hidden_size=16, max_position_embeddings=8, hidden_dropout=0, initializer_range=0.5
    )
    return SasRecForNextItem(config)


def train_by_hand(model, batches, group_size, max_norm):
    """Take the steps of plain gradient descent; return their losses, each the mean over all labels of its group."""
    losses = []
    for start in range(0, len(batches), group_size):
        group = batches[start : start + group_size]
        num_labels = sum(int((batch["labels"] != -100).sum()) for batch in group)
        loss = sum(model(**batch, num_items_in_batch=num_labels).loss for batch in group)
        model.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= 0.1 * parameter.grad
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("max_norm", [0.05, 1e6])
@pytest.mark.parametrize("num_processes", [1, 2])
@pytest.mark.parametrize("group_size", [1, 2, 5])
def test_a_step_is_of_all_labels_of_its_batches_and_processes(
    group_size, num_processes, max_norm, model, tokenizer, monkeypatch
):
    """Plain gradient descent, as Adam would hardly notice gradients that are all too large or too small."""
    monkeypatch.setattr(accelerate_loop, "MAX_GRADIENT_NORM", max_norm)
    collator = NextItemCollator(tokenizer, 8)
    batches = [collator([{"input_ids": history}]) for history in HISTORIES]
    by_hand = copy.deepcopy(model)
    losses = train_by_hand(by_hand, batches, group_size, max_norm)

    accelerator = Recording(num_processes)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1)
    mean_loss = train_epoch(accelerator, model, batches, optimizer, scheduler, group_size)

    assert mean_loss == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    torch.testing.assert_close(model.state_dict(), by_hand.state_dict(), atol=1e-6, rtol=1e-5)
    ends_group = [number % group_size == 0 or number == len(batches) for number in range(1, len(batches) + 1)]
    assert accelerator.exchanged == ends_group


class Exchanging(Accelerator):
    """One of several processes: after the exchange, no gradient is missing, but it may be zero."""

    def clip_grad_norm_(self, parameters, max_norm):
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)


def test_a_step_without_labels_in_any_process_moves_no_weight(model, tokenizer):
    """Adam would go on in the direction of the steps before."""
    collator = NextItemCollator(tokenizer, 8)
    batches = [collator([{"input_ids": history}]) for history in ([3, 4, 5], [3])]
    weights = []
    for taken in (batches[:1], batches):
        trained = copy.deepcopy(model)
        optimizer = torch.optim.AdamW(trained.parameters(), lr=0.1, weight_decay=0.0)
        scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer, factor=1)
        train_epoch(Exchanging(cpu=True), trained, taken, optimizer, scheduler, 1)
        weights.append(trained.state_dict())
    torch.testing.assert_close(*weights, atol=0, rtol=0)


def test_the_learning_rate_falls_to_zero_with_the_last_step(model, tokenizer, monkeypatch):
    made = []

    def get_scheduler(*args, **kwargs):
        made.append((accelerate_loop_scheduler(*args, **kwargs), kwargs["num_training_steps"]))
        return made[0][0]

    accelerate_loop_scheduler = accelerate_loop.get_scheduler
    monkeypatch.setattr(accelerate_loop, "get_scheduler", get_scheduler)
    train_with_accelerate(
        model,
        Dataset.from_dict({"input_ids": HISTORIES}),
        NextItemCollator(tokenizer, 8),
        num_epochs=2,
        batch_size=1,
        gradient_accumulation_steps=2,
        accelerator=Accelerator(cpu=True),
    )
    ((scheduler, num_steps),) = made
    assert num_steps == scheduler.last_epoch == 2 * 3
    assert scheduler.get_last_lr() == [0]


def test_the_seed_decides_the_order_of_the_histories(model, tokenizer):
    class Noting(NextItemCollator):
        def __call__(self, rows):
            order.extend(int(row["input_ids"][0]) for row in rows)
            return super().__call__(rows)

    orders = []
    for seed in (1, 1, 2):
        orders.append(order := [])
        train_with_accelerate(
            model,
            Dataset.from_dict({"input_ids": HISTORIES}),
            Noting(tokenizer, 8),
            num_epochs=2,
            batch_size=1,
            seed=seed,
            accelerator=Accelerator(cpu=True),
        )
    assert sorted(orders[0]) == sorted(2 * [history[0] for history in HISTORIES])
    assert orders[0] == orders[1] != orders[2]


def test_the_collator_hears_of_every_epoch_and_no_bar_fills_a_log(model, tokenizer, monkeypatch, capfd):
    epochs = []
    monkeypatch.setattr(MaskedItemCollator, "set_epoch", lambda self, epoch: epochs.append(epoch))
    train_with_accelerate(
        model,
        Dataset.from_dict({"input_ids": HISTORIES}),
        MaskedItemCollator(tokenizer, 8),
        num_epochs=3,
        accelerator=Accelerator(cpu=True),
        after_epoch=lambda epoch, _: epochs.append(f"after {epoch}"),
    )
    assert epochs == [0, "after 1", 1, "after 2", 2, "after 3"]
    assert capfd.readouterr().err == ""
