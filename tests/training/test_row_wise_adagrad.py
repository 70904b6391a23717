"""Row-wise Adagrad against a naive implementation. Shape suffixes: V rows, D width."""

import sys
from pathlib import Path

import pytest
import torch

from seqrec import SequentialTrainer, SequentialTrainingArguments
from seqrec.errors import InputError
from seqrec.training import row_wise_adagrad
from seqrec.training.row_wise_adagrad import RowWiseAdagrad, move_to_own_group, rounded_at_random

sys.path.insert(0, str(Path(__file__).parents[1] / "fixtures"))
from train_tiny import tiny_data, tiny_model

SETTINGS = {"lr": 0.1, "eps": 1e-6, "weight_decay": 0.05}
STEPS = ([3, 3, 5], [5, 7, 0, 19], [3])


def naive_steps(weight_VD, *, decays_all):
    """Take the steps row by row and number by number; return the weights and the sums of the rows."""
    weights, sums = [row.tolist() for row in weight_VD], [0.0] * len(weight_VD)
    for step, ids in enumerate(STEPS, start=1):
        gradients = {row: [2 * step * ids.count(row) * value for value in weights[row]] for row in ids}
        for row in range(len(weights)):
            gradient = gradients.get(row, [0.0] * len(weights[row]))
            if row not in gradients and not decays_all:
                continue
            sums[row] += sum(value**2 for value in gradient) / len(gradient)
            weights[row] = [
                (1 - SETTINGS["lr"] * SETTINGS["weight_decay"]) * weight
                - SETTINGS["lr"] * value / (sums[row] ** 0.5 + SETTINGS["eps"])
                for weight, value in zip(weights[row], gradient, strict=True)
            ]
    return torch.tensor(weights), torch.tensor(sums)


@pytest.mark.parametrize("block_numbers", [2**22, 12])
@pytest.mark.parametrize("sparse", [True, False])
def test_steps_are_those_of_the_naive_optimizer(sparse, block_numbers, monkeypatch):
    monkeypatch.setattr(row_wise_adagrad, "BLOCK_NUMBERS", block_numbers)
    torch.manual_seed(0)
    weight_VD = torch.randn(20, 4)
    table = torch.nn.Embedding.from_pretrained(weight_VD.clone(), freeze=False, sparse=sparse)
    optimizer = RowWiseAdagrad([{"params": table.parameters(), "is_row_wise": True}], **SETTINGS)
    for step, ids in enumerate(STEPS, start=1):
        (step * table(torch.tensor(ids)).square()).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    weights, sums = naive_steps(weight_VD, decays_all=not sparse)
    torch.testing.assert_close(table.weight.detach(), weights)
    (state,) = optimizer.state.values()
    assert state.keys() == {"step", "row_sums"}
    torch.testing.assert_close(state["row_sums"], sums)


def test_bfloat16_is_rounded_up_or_down_with_the_right_mean():
    torch.manual_seed(0)
    values = torch.tensor([1.0, -1.001, 0.3, 1e-3, 0.0, -70.123])
    rounded = torch.stack([rounded_at_random(values) for _ in range(4000)])
    nearest = values.bfloat16().float()
    assert all(len(column.unique()) <= 2 for column in rounded.T)
    assert rounded[:, [0, 4]].eq(values[[0, 4]]).all()  # which bfloat16 holds exactly
    assert (nearest != values).sum() == 4
    torch.testing.assert_close(rounded.float().mean(dim=0), values, rtol=2e-4, atol=0)


@pytest.mark.parametrize("sparse", [True, False])
def test_small_updates_of_bfloat16_add_up(sparse):
    """Rounded to the nearest, none of them would move a weight."""
    torch.manual_seed(0)
    table = torch.nn.Embedding.from_pretrained(torch.ones(500, 4, dtype=torch.bfloat16), freeze=False, sparse=sparse)
    optimizer = RowWiseAdagrad([{"params": table.parameters(), "is_row_wise": True}], lr=1e-3, weight_decay=0)
    for _ in range(100):
        table(torch.arange(500)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    expected = 1 - 1e-3 * sum(step**-0.5 for step in range(1, 101))
    assert table.weight.dtype == torch.bfloat16
    assert table.weight.float().mean().item() == pytest.approx(expected, abs=1e-4)


def test_other_weights_are_updated_by_adamw():
    torch.manual_seed(0)
    layers, twins = ([torch.nn.Linear(4, 4, bias=False) for _ in range(2)] for _ in range(2))
    for layer, twin in zip(layers, twins, strict=True):
        twin.load_state_dict(layer.state_dict())
    optimizer = RowWiseAdagrad([layer.weight for layer in layers], **SETTINGS)
    move_to_own_group(optimizer, layers[1].weight, lr=0.3, is_row_wise=True)
    assert [len(group["params"]) for group in optimizer.param_groups] == [1, 1]
    assert optimizer.param_groups[1]["weight_decay"] == SETTINGS["weight_decay"]
    adamw = torch.optim.AdamW([twin.weight for twin in twins], **SETTINGS)
    for _ in range(3):
        for (first, second), one in ((layers, optimizer), (twins, adamw)):
            (first(torch.ones(2, 4)).square().sum() + second(torch.ones(2, 4)).square().sum()).backward()
            one.step()
            one.zero_grad()
    torch.testing.assert_close(layers[0].weight, twins[0].weight)
    assert not layers[1].weight.allclose(twins[1].weight)


def test_a_table_without_columns_stays_where_it_is():
    table = torch.nn.Parameter(torch.zeros(5, 0))
    optimizer = RowWiseAdagrad([table], **SETTINGS)
    move_to_own_group(optimizer, table, is_row_wise=True)
    assert len(optimizer.param_groups) == 1
    table.grad = torch.zeros_like(table)
    optimizer.step()


def make_trainer(folder, **settings):
    sequences, tokenizer = tiny_data()
    own = {"num_train_epochs": 4, "learning_rate": 1e-2, "use_cpu": True, "disable_tqdm": True, "save_total_limit": 9}
    arguments = SequentialTrainingArguments(str(folder), item_optim="rowwise_adagrad", **own | settings)
    return SequentialTrainer(
        tiny_model(len(tokenizer)),
        arguments,
        processing_class=tokenizer,
        train_dataset=sequences["train"],
        eval_dataset=sequences["validation"],
    )


def test_a_trainer_learns_with_it_and_keeps_one_number_per_item(tmp_path):
    trainer = make_trainer(tmp_path, item_learning_rate=0.05)
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses[-1] < 0.95 * losses[0]
    table = trainer.model.get_input_embeddings().weight
    states = trainer.optimizer.optimizer.state
    assert {name: state.shape for name, state in states[table].items()} == {"step": (), "row_sums": (43,)}
    assert all({"exp_avg", "exp_avg_sq"} <= state.keys() for one, state in states.items() if one is not table)


def test_its_learning_rate_follows_the_schedule(tmp_path):
    trainer = make_trainer(tmp_path, item_learning_rate=0.05, eval_strategy="no", load_best_model_at_end=False)
    trainer.create_optimizer_and_scheduler(10)
    for _ in range(5):
        trainer.optimizer.step()
        trainer.lr_scheduler.step()
    assert trainer.optimizer.param_groups[-1]["lr"] == pytest.approx(0.025)
    assert trainer.optimizer.param_groups[0]["lr"] == pytest.approx(0.005)


def test_a_training_resumes_to_the_same_weights(tmp_path):
    whole = make_trainer(tmp_path)
    whole.train()
    resumed = make_trainer(tmp_path)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-4"))
    torch.testing.assert_close(resumed.model.state_dict(), whole.model.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"item_optim": "sgd"}, "item_optim='sgd' is unknown. Choose one of: adamw, rowwise_adagrad"),
        ({"item_optim": "adamw", "item_learning_rate": 0.1}, "item_learning_rate=0.1 has no effect"),
        ({"item_dtype": "float8"}, "item_dtype='float8' is unknown. Choose one of: float32, bfloat16"),
        ({"item_dtype": "bfloat16"}, "item_dtype='bfloat16' needs shard_items=True and item_optim='rowwise_adagrad'"),
        ({"item_learning_rate": -1.0}, "item_learning_rate=-1.0 must be above 0"),
    ],
)
def test_unusable_settings_are_refused(settings, message, tmp_path):
    with pytest.raises(InputError, match=message):
        SequentialTrainingArguments(str(tmp_path), **{"item_optim": "rowwise_adagrad"} | settings)


def test_a_second_optimizer_is_refused(tmp_path):
    sequences, tokenizer = tiny_data()
    arguments = SequentialTrainingArguments(str(tmp_path), item_optim="rowwise_adagrad")
    with pytest.raises(InputError, match="needs an optimizer of its own, but another one was given"):
        SequentialTrainer(
            tiny_model(len(tokenizer)),
            arguments,
            processing_class=tokenizer,
            train_dataset=sequences["train"],
            optimizer_cls_and_kwargs=(torch.optim.SGD, {"lr": 0.1}),
        )
