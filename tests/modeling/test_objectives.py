"""Objectives: the batches, masks and requests that follow from them."""

import pytest
import torch

from seqrec import Bert4RecConfig, Bert4RecForNextItem, SasRecConfig, SasRecForNextItem
from seqrec.interactions.events import EVENT_COLUMNS, EventColumn
from seqrec.interactions.tokenization_items import ItemTokenizer
from seqrec.modeling.objectives import MASKED_ITEM, NEXT_ITEM, training_collator

TOKENIZER = ItemTokenizer.from_item_ids(range(60))


def uncovered(batch):
    """Each window's items, with what was hidden put back, and which of them were."""
    hidden = batch["labels"] != -100
    return torch.where(hidden, batch["labels"], batch["input_ids"]), hidden


@pytest.mark.parametrize("fields", [{"masking_probability": 0.999, "last_item_share": 0.0}, {"last_item_share": 1.0}])
@pytest.mark.parametrize("packing", [True, False])
def test_a_model_s_configuration_decides_what_is_hidden(fields, packing):
    """Nearly everything, or the last item of each window alone; windows are as long as the model's inputs."""
    model = Bert4RecForNextItem(Bert4RecConfig(vocab_size=63, max_position_embeddings=10, **fields))
    collate = training_collator(model, TOKENIZER, packing=packing, seed=0)
    batch = collate([{"input_ids": range(3, 63)}])
    assert ("position_ids" in batch) is packing
    ids, hidden = uncovered(batch)
    assert ids.sort(dim=0).values.tolist() == [list(range(start, start + 10)) for start in range(3, 63, 10)]
    assert hidden.sum() == 6 if "masking_probability" not in fields else hidden.sum() > 55
    assert hidden[:, -1].all()


def test_a_causal_model_s_windows_are_as_long_as_its_inputs():
    model = SasRecForNextItem(SasRecConfig(vocab_size=63, max_position_embeddings=10))
    for packing in (True, False):
        batch = training_collator(model, TOKENIZER, packing=packing)([{"input_ids": range(3, 63)}])
        assert ("position_ids" in batch) is packing
        assert batch["input_ids"].shape == (6, 10)


@pytest.mark.parametrize("packing", [True, False])
@pytest.mark.parametrize("objective", [NEXT_ITEM, MASKED_ITEM], ids=lambda objective: objective.name)
def test_batches_hold_all_columns_that_a_configuration_names(objective, packing, monkeypatch):
    monkeypatch.setitem(EVENT_COLUMNS, "mood", EventColumn("mood", dtype="float32", fill=-1))
    config = Bert4RecConfig(vocab_size=63, context_columns=["mood"])
    batch = objective.collator(config, TOKENIZER, packing=packing)([{"input_ids": [5, 6, 7], "mood": [0.5, 0.6, 0.7]}])
    read = batch["input_ids"].numel()
    torch.testing.assert_close(batch["mood"], torch.tensor([[0.5, 0.6, 0.7][:read]]))


def test_with_a_seed_what_is_hidden_follows_from_seed_epoch_and_histories():
    model = Bert4RecForNextItem(Bert4RecConfig(vocab_size=63, max_position_embeddings=30))

    def hidden(seed, epoch, first=3):
        collate = training_collator(model, TOKENIZER, seed=seed)
        collate.set_epoch(epoch)
        return collate([{"input_ids": range(first, first + 30)}] * 8)["labels"].ne(-100)

    assert hidden(0, 0).equal(hidden(0, 0))
    for other in (hidden(1, 0), hidden(0, 1), hidden(0, 0, first=4), hidden(None, 0)):
        assert not other.equal(hidden(0, 0))
    assert not hidden(None, 0).equal(hidden(None, 0))


@pytest.mark.parametrize(("side", "mask"), [("right", [1, 1, 1, 0]), ("left", [0, 1, 1, 1]), ("none", None)])
def test_a_request_to_fill_in_masks_has_one_behind_the_history(side, mask, monkeypatch):
    monkeypatch.setitem(EVENT_COLUMNS, "mood", EventColumn("mood", dtype="float32", fill=-1))
    ids, mood = {
        "right": ([5, 6, 7, 0], [0.5, 0.6, 0.7, 9.0]),
        "left": ([0, 5, 6, 7], [9.0, 0.5, 0.6, 0.7]),
        "none": ([5, 6, 7], [0.5, 0.6, 0.7]),
    }[side]
    ids, mask, columns = MASKED_ITEM.request(
        torch.tensor([ids]), None if mask is None else torch.tensor([mask]), {"mood": torch.tensor([mood])}
    )
    is_real = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask.bool()
    assert ids[is_real].tolist() == [5, 6, 7, 1]
    torch.testing.assert_close(columns["mood"][is_real], torch.tensor([0.5, 0.6, 0.7, -1.0]))
    assert columns["mood"].dtype == torch.float32
    assert ids[~is_real].sum() == 0


def test_a_request_for_the_next_item_is_the_history():
    ids, mask, columns = torch.tensor([[5, 6]]), torch.tensor([[1, 1]]), {"device": torch.tensor([[1, 2]])}
    found = NEXT_ITEM.request(ids, mask, columns)
    assert found[0] is ids
    assert found[1] is mask
    assert found[2]["device"] is columns["device"]


def test_outputs_carry_each_task_s_loss_and_labels(tiny_model):
    ids = torch.tensor([[5, 6, 7, 8]])
    labels = torch.tensor([[6, 7, 8, -100]])
    found = tiny_model(ids, attention_mask=torch.ones_like(ids), labels=labels, num_items_in_batch=6)
    ((name, mean),) = found.losses.items()
    assert name == tiny_model.objective.name
    assert found.num_labels[name] == 3
    torch.testing.assert_close(found.loss.detach(), mean * 3 / 6)
    assert found.loss.requires_grad
    assert not mean.requires_grad
    assert found.logits is None
    assert tiny_model(ids).losses is None
