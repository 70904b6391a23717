"""Contract tests of training: each model × loss, packed and padded, with both Trainers and the Accelerate loop."""

from typing import get_args

import pytest
import torch
from accelerate import Accelerator
from datasets import Dataset
from transformers import Trainer, TrainingArguments, set_seed

from seqrec import SequentialTrainer, SequentialTrainingArguments
from seqrec.configuration.configuration_next_item import NextItemConfig
from seqrec.modeling.modeling_auto import MODEL_TYPES, AutoModelForNextItem
from seqrec.modeling.objectives import training_collator
from seqrec.training.accelerate_loop import train_with_accelerate

LOSSES = get_args(NextItemConfig.__annotations__["loss"])
WITH_LABELS, WITHOUT_LABELS = [5, 6, 7, 8], [2, 2]  # 2 is <|unk|>, which is never to be predicted
SETTINGS = {
    "per_device_train_batch_size": 1,
    "num_train_epochs": 3,
    "learning_rate": 0.01,
    "weight_decay": 0.1,
    "lr_scheduler_type": "constant",
    "save_strategy": "no",
    "eval_strategy": "no",
    "disable_tqdm": True,
    "seed": 1,
}


@pytest.fixture(params=LOSSES)
def loss(request):
    return request.param


@pytest.fixture(params=[True, False], ids=["packed", "padded"])
def packing(request):
    return request.param


@pytest.fixture
def new_model(model_type, loss, tokenizer):
    """Make the same model each time, without dropout."""

    def make():
        set_seed(0)
        config = MODEL_TYPES[model_type](
            vocab_size=len(tokenizer),
            hidden_size=8,
            num_attention_heads=1,
            num_hidden_layers=1,
            intermediate_size=8,
            max_position_embeddings=8,
            hidden_dropout=0,
            loss=loss,
            num_negatives=4,
        )
        return AutoModelForNextItem.from_config(config)

    return make


def train_by_sequential_trainer(model, rows, tokenizer, packing, folder, **settings):
    arguments = SequentialTrainingArguments(
        str(folder), packing=packing, load_best_model_at_end=False, **{**SETTINGS, **settings}
    )
    SequentialTrainer(model, arguments, processing_class=tokenizer, train_dataset=rows).train()


def train_by_plain_trainer(model, rows, tokenizer, packing, folder, **settings):
    arguments = TrainingArguments(str(folder), use_cpu=True, dataloader_pin_memory=False, **{**SETTINGS, **settings})
    collator = training_collator(model, tokenizer, packing=packing, seed=1)
    Trainer(model, arguments, data_collator=collator, train_dataset=rows).train()


def train_by_accelerate(model, rows, tokenizer, packing, folder, learning_rate=0.01):
    collator = training_collator(model, tokenizer, packing=packing, seed=1)
    # Its learning rate falls with each step, so that a step without labels must not change what is learned: none is.
    train_with_accelerate(
        model,
        rows,
        collator,
        num_epochs=3,
        batch_size=1,
        learning_rate=learning_rate,
        accelerator=Accelerator(cpu=True),
    )


LOOPS = [train_by_sequential_trainer, train_by_plain_trainer, train_by_accelerate]
every_loop = pytest.mark.parametrize("train", LOOPS, ids=["SequentialTrainer", "Trainer", "accelerate"])


@every_loop
def test_batches_without_labels_change_no_weight(new_model, train, tokenizer, packing, tmp_path):
    model = new_model()
    train(model, Dataset.from_dict({"input_ids": [WITHOUT_LABELS] * 3}), tokenizer, packing, tmp_path)
    torch.testing.assert_close(model.state_dict(), new_model().state_dict(), atol=0, rtol=0)


@pytest.mark.parametrize("loss", ["cross_entropy"])  # the sampled negatives of two trainings differ
@pytest.mark.parametrize("train", LOOPS[:2], ids=["SequentialTrainer", "Trainer"])
def test_batches_without_labels_change_nothing_among_others(new_model, train, tokenizer, packing, tmp_path):
    mixed, alone = new_model(), new_model()
    train(mixed, Dataset.from_dict({"input_ids": [WITH_LABELS, WITHOUT_LABELS]}), tokenizer, packing, tmp_path)
    train(alone, Dataset.from_dict({"input_ids": [WITH_LABELS]}), tokenizer, packing, tmp_path)
    torch.testing.assert_close(mixed.state_dict(), alone.state_dict(), atol=1e-6, rtol=1e-6)
    assert not torch.equal(mixed.model.item_embedding.weight, new_model().model.item_embedding.weight)


def test_a_batch_without_labels_has_the_loss_0_and_no_gradient(new_model, tokenizer, packing):
    model = new_model()
    batch = training_collator(model, tokenizer, packing=packing)([{"input_ids": WITHOUT_LABELS}])
    for num_items_in_batch in (None, 0, torch.tensor(0), 7):
        loss = model(**batch, num_items_in_batch=num_items_in_batch).loss
        loss.backward()
        assert loss.item() == 0
    assert all(parameter.grad is None for parameter in model.parameters())


def test_histories_without_windows_make_a_batch(new_model, tokenizer, packing):
    model = new_model()
    batch = training_collator(model, tokenizer, packing=packing)([{"input_ids": []}, {"input_ids": []}])
    assert batch["input_ids"].shape == batch["labels"].shape == (1, 1)
    assert model(**batch).loss.item() == 0


@every_loop
def test_a_training_that_diverges_stops(new_model, train, tokenizer, tmp_path):
    rows = Dataset.from_dict({"input_ids": [WITH_LABELS] * 4})
    with pytest.raises(ValueError, match=r"not a number|loss is (nan|inf)"):
        train(new_model(), rows, tokenizer, True, tmp_path, learning_rate=1e30)


@pytest.mark.parametrize("loss", ["cross_entropy"], indirect=True)
def test_plain_trainer_predicts_without_the_losses_of_the_tasks(new_model, tokenizer, packing, tmp_path):
    model, rows = new_model(), Dataset.from_dict({"input_ids": [WITH_LABELS] * 3})
    collator = training_collator(model, tokenizer, packing=packing)
    arguments = TrainingArguments(str(tmp_path), remove_unused_columns=False, use_cpu=True, report_to="none")
    arguments.dataloader_pin_memory = False
    found = Trainer(model, arguments, data_collator=collator, compute_metrics=lambda _: {}).predict(rows)
    assert found.metrics["test_loss"] > 0
    assert found.predictions is None or len(found.predictions) == 0
