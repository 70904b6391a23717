"""Each history's list, by its own rules, against sorting by hand, whatever its place in a batch."""

import numpy as np
import pytest
import torch

from seqrec.search import best_items as module
from seqrec.search.best_items import Answerer, best_items
from seqrec.search.exact_index import ExactIndex

VOCAB_SIZE, MAX_LENGTH = 23, 4
LENGTHS = [3, 0, 7, 1, 0, 5, 1, 0, 2]  # batches take the longest first, and empty histories by themselves


class CountingEncoder:
    """Scores an item by its value times the number of items read, one more where there is none."""

    def __init__(self, value_of_item):
        self.items_V1 = torch.tensor([[value_of_item(item)] for item in range(VOCAB_SIZE)], dtype=torch.float32)

    def encode_users(self, input_ids, attention_mask=None):
        read = input_ids > 0 if attention_mask is None else attention_mask
        return 1 + read.sum(dim=1, keepdim=True).float()

    def encode_items(self):
        return self.items_V1


def answerer(value_of_item):
    encoder = CountingEncoder(value_of_item)
    return Answerer(encoder, ExactIndex(encoder.encode_items()))


MODEL, POPULARITY = (lambda item: item), (lambda item: -item)


def expected(history, k, exclude_seen, allowed, denied):
    """Score and token id of the best items, filled up with −inf and 0."""
    value, factor = (MODEL, 1 + min(len(history), MAX_LENGTH)) if len(history) else (POPULARITY, 1)
    items = set(range(3, VOCAB_SIZE)) if allowed is None else set(allowed)
    items -= set(history if exclude_seen else []) | set([] if denied is None else denied)
    listed = sorted(((factor * value(item), item) for item in items), reverse=True)[:k]
    return [*listed, *[(-np.inf, 0)] * (k - len(listed))]


@pytest.mark.parametrize("batch_size", [2, 256])
@pytest.mark.parametrize("exclude_seen", [True, False])
@pytest.mark.parametrize("given", [(), ("allowed",), ("denied",), ("allowed", "denied")], ids=str)
def test_every_history_is_answered_by_its_own_lists(given, exclude_seen, batch_size, monkeypatch):
    monkeypatch.setattr(module, "BATCH_SIZE", batch_size)
    rng = np.random.default_rng(0)
    catalogue = np.arange(3, VOCAB_SIZE)
    histories = [rng.choice(catalogue, length, replace=False) for length in LENGTHS]
    lists = {name: [rng.choice(catalogue, 6 + row, replace=False) for row in range(len(LENGTHS))] for name in given}
    scores_BK, token_ids_BK = best_items(
        answerer(MODEL),
        answerer(POPULARITY),
        histories,
        5,
        max_length=MAX_LENGTH,
        exclude_seen=exclude_seen,
        **lists,
    )
    for row, history in enumerate(histories):
        own = [lists[name][row] if name in lists else None for name in ("allowed", "denied")]
        found = list(zip(scores_BK[row].tolist(), token_ids_BK[row].tolist(), strict=True))
        wanted = expected(history.tolist(), 5, exclude_seen, *own)
        assert found == [pytest.approx(place) for place in wanted], row
