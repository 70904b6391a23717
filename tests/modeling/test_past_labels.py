"""Labels of past events as a part of the input."""

import numpy as np
import pytest
import torch

from seqrec.configuration.configuration_sasrec import SasRecConfig
from seqrec.errors import InputError
from seqrec.modeling.modeling_sasrec import SasRecForNextItem
from seqrec.modeling.past_labels import PRIOR_LABELS, PastLabel
from seqrec.modeling.sequence_layout import SequenceLayout

FIELDS = {"vocab_size": 20, "hidden_size": 8, "num_attention_heads": 1, "rating_scale": [1, 5]}
CONFIG = SasRecConfig(**FIELDS, tasks=["next_item", "rating"])
LENGTHS = [5, 1, 6]


def naive(part, labels, ids):
    """The vectors of one history, label by label."""
    found, excesses = [], []
    for label, id_ in zip(labels.tolist(), ids.tolist(), strict=True):
        vector = torch.zeros(8)
        if not np.isnan(label):
            excesses.append((label - 3) / 2 - part.item_means_V[id_].item())
            vector += part.presence_D + (label - 3) / 2 * part.value_D
        found.append(vector + sum(excesses) / (len(excesses) + PRIOR_LABELS) * part.offset_D)
    return torch.stack(found)


@pytest.fixture
def part():
    torch.manual_seed(0)
    part = PastLabel(CONFIG, "rating")
    for parameter in part.parameters():
        torch.nn.init.normal_(parameter)
    part.set_item_means(1 + 4 * torch.rand(20))
    return part


def histories():
    torch.manual_seed(1)
    labels = [torch.randint(1, 6, (length,)).float() for length in LENGTHS]
    labels = [torch.where(torch.rand(len(one)) < 0.3, torch.nan, one) for one in labels]
    return labels, [torch.randint(3, 20, (length,)) for length in LENGTHS]


def test_padded_histories_are_read_as_by_naive_code(part):
    labels, ids = histories()
    for own, items in zip(labels, ids, strict=True):
        before = torch.full((1, 2), torch.nan)
        mask = torch.tensor([[0, 0] + [1] * len(own)])
        padded = torch.cat([torch.zeros(1, 2, dtype=torch.long), items[None]], dim=1)
        found = part(torch.cat([before, own[None]], dim=1), padded, SequenceLayout(mask))
        torch.testing.assert_close(found[0, 2:], naive(part, own, items))


def test_packed_histories_are_read_alone(part):
    labels, ids = histories()
    places = torch.cat([torch.arange(length) for length in LENGTHS])[None]
    found = part(torch.cat(labels)[None], torch.cat(ids)[None], SequenceLayout(None, places))
    expected = [naive(part, own, items) for own, items in zip(labels, ids, strict=True)]
    torch.testing.assert_close(found[0], torch.cat(expected))


def test_labels_like_those_of_the_items_are_no_offset(part):
    ids = torch.arange(3, 9)[None]
    labels = part.item_means_V[ids] * 2 + 3
    with torch.no_grad():
        part.presence_D.zero_()
        part.value_D.zero_()
    torch.testing.assert_close(part(labels, ids, SequenceLayout()), torch.zeros(1, 6, 8))


def test_new_items_have_the_mean_of_all(part):
    before = part.item_means_V.clone()
    part.resize(23)
    assert part.item_means_V.tolist() == [*before.tolist(), *[before[0].item()] * 3]
    part.resize(20)
    assert torch.equal(part.item_means_V, before)


def test_vectors_of_items_alone_do_not_say_what_the_labels_are_of():
    model = SasRecForNextItem(SasRecConfig(**FIELDS, tasks=["next_item", "rating"], past_labels=["rating"]))
    with pytest.raises(InputError, match="needs input_ids, the items that have the labels"):
        model.model(inputs_embeds=torch.zeros(1, 2, 8), rating=torch.ones(1, 2))
