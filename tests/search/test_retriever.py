"""Each history's list agrees with sorting by hand, with its own allow and deny lists and at any place in a batch."""

import numpy as np
import pytest
import torch

from seqrec.interactions.histories import Histories
from seqrec.search import retriever as module
from seqrec.search.exact_index import ExactIndex
from seqrec.search.retriever import Retriever

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


MODEL, POPULARITY = (lambda item: item), (lambda item: -item)


def retriever():
    model, popularity = CountingEncoder(MODEL), CountingEncoder(POPULARITY)
    indexes = (ExactIndex(encoder.encode_items()) for encoder in (model, popularity))
    return Retriever(model, *indexes, max_length=MAX_LENGTH)


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
    together = Histories.from_lists({"input_ids": histories})
    scores_BK, token_ids_BK = retriever().retrieve(together, 5, exclude_seen=exclude_seen, **lists)
    for row, history in enumerate(histories):
        own = [lists[name][row] if name in lists else None for name in ("allowed", "denied")]
        found = list(zip(scores_BK[row].tolist(), token_ids_BK[row].tolist(), strict=True))
        wanted = expected(history.tolist(), 5, exclude_seen, *own)
        assert found == [pytest.approx(place) for place in wanted], row
        alone = {name: rows[row : row + 1] for name, rows in lists.items()}
        scores_1K, token_ids_1K = retriever().retrieve(together.select([row]), 5, exclude_seen=exclude_seen, **alone)
        assert token_ids_1K.tolist() == [token_ids_BK[row].tolist()]
        assert scores_1K.tolist() == [scores_BK[row].tolist()]


@pytest.mark.parametrize("name", ["allowed", "denied"])
@pytest.mark.parametrize("tokens", [[], [4], [9, 5, 22]], ids=str)
def test_one_list_for_all_is_as_one_for_each(name, tokens):
    histories = Histories.from_lists({"input_ids": [np.arange(3, 3 + length) for length in LENGTHS]})
    one, each = ({name: [np.array(tokens, dtype=np.int64)] * number} for number in (1, len(LENGTHS)))
    for exclude_seen in (True, False):
        found, wanted = (
            retriever().retrieve(histories, 5, exclude_seen=exclude_seen, **lists) for lists in (one, each)
        )
        assert all(map(np.array_equal, found, wanted))
