"""Long allow and deny lists, compared with naive code."""

import numpy as np
import pytest
import torch

from seqrec.interactions.histories import Histories
from seqrec.search import coarse_items, exact_index, retriever
from seqrec.search.exact_index import ExactIndex, PartOfIndex
from seqrec.search.popular_items import PopularItems
from seqrec.search.retriever import Retriever
from seqrec.search.scoring import top_k

V, D, K = 700, 8, 6


@pytest.fixture(params=["small", "large"])
def size(request, monkeypatch):
    """A catalogue that counts as small, or as large: the latter is searched coarsely at first."""
    if request.param == "large":
        monkeypatch.setattr(exact_index, "LARGE_CATALOGUE", 100)
        monkeypatch.setattr(exact_index, "BLOCKS_PER_ITEM", 1)
        for module in (exact_index, coarse_items):
            monkeypatch.setattr(module, "BLOCK", 16)
    return request.param


def vectors(rows, seed):
    return torch.randn(rows, D, generator=torch.Generator().manual_seed(seed))


def draw(random, share):
    return np.flatnonzero(random.random(V) < share)


def naive(users_BD, items_VD, k, banned_BV):
    scores_BV = (users_BD @ items_VD.T).numpy()
    scores_BV[banned_BV] = -np.inf
    order_BV = np.argsort(-scores_BV, axis=1, kind="stable")[:, :k]
    scores_BK = np.take_along_axis(scores_BV, order_BV, 1)
    return scores_BK, np.where(scores_BK > -np.inf, order_BV, 0)


def banned(rows, *, hidden=(), allowed=None, denied=(), excluded=None):
    found = np.zeros((rows, V), dtype=bool)
    found[:, :3] = True
    found[:, hidden] = True
    found[:, denied] = True
    for row, ids in enumerate(excluded if excluded is not None else ()):
        found[row, ids] = True
    if allowed is not None:
        found[:, np.setdiff1d(np.arange(V), allowed)] = True
    return found


def assert_same(found, expected):
    np.testing.assert_array_equal(found[1].numpy(), expected[1])
    np.testing.assert_allclose(found[0].numpy(), expected[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("allow_share", [None, 0.0, 0.005, 0.03, 0.5, 0.99])
@pytest.mark.parametrize("deny_share", [None, 0.01, 0.5, 0.99])
@pytest.mark.parametrize("hides", [False, True])
def test_an_index_of_fewer_items_lists_what_naive_code_does(size, allow_share, deny_share, hides):
    random = np.random.default_rng(0)
    items_VD, users_BD = vectors(V, 0), vectors(5, 1)
    hidden = random.choice(np.arange(3, V), 30, replace=False) if hides else np.array([], dtype=int)
    allowed = None if allow_share is None else np.concatenate([draw(random, allow_share), [0]])
    denied = None if deny_share is None else np.concatenate([draw(random, deny_share)] * 2)
    index = ExactIndex(items_VD, torch.from_numpy(hidden) if hides else None)
    tensors = (None if ids is None else torch.from_numpy(ids) for ids in (allowed, denied))
    narrow = index.within(*tensors)
    if size == "large":
        assert isinstance(narrow, PartOfIndex) == (allowed is not None and len(allowed) * 16 <= V)
    excluded_BS = torch.from_numpy(random.integers(0, V, (5, 40)))
    lists = {"hidden": hidden, "allowed": allowed, "denied": [] if denied is None else denied}
    assert_same(narrow.search(users_BD, K), naive(users_BD, items_VD, K, banned(5, **lists)))
    expected = naive(users_BD, items_VD, K, banned(5, **lists, excluded=excluded_BS))
    assert_same(narrow.search(users_BD, K, excluded_BS=excluded_BS), expected)
    further = torch.from_numpy(np.concatenate([draw(random, 0.3), [0]]))
    both = further.numpy() if allowed is None else np.intersect1d(further, allowed)
    expected = naive(users_BD, items_VD, K, banned(5, **{**lists, "allowed": both}, excluded=excluded_BS))
    assert_same(narrow.search(users_BD, K, excluded_BS=excluded_BS, allowed_BA=further[None]), expected)
    assert_same(narrow.within(further, None).search(users_BD, K, excluded_BS=excluded_BS), expected)
    assert_same(index.search(users_BD, K), naive(users_BD, items_VD, K, banned(5, hidden=hidden)))


def test_a_short_allow_list_of_a_large_catalogue_is_searched_alone(size):
    items_VD, users_BD = vectors(V, 0), vectors(5, 1)
    allowed_1A = torch.tensor([[9, 4, 4, 0, 300, 200]])
    found = ExactIndex(items_VD).search(users_BD, K, allowed_BA=allowed_1A)
    assert_same(found, top_k(users_BD, items_VD, K, allowed_BA=allowed_1A))
    assert_same(found, naive(users_BD, items_VD, K, banned(5, allowed=allowed_1A[0])))


def test_popular_items_can_be_fewer(size):
    shares_V = np.random.default_rng(0).random(V)
    allowed_A, denied_S = torch.arange(10, 200), torch.arange(50, 400)
    popular = PopularItems(shares_V, device=torch.device("cpu"))
    scores_BK, ids_BK = popular.within(allowed_A, denied_S).search(torch.ones(2, 1), K)
    best = 10 + np.argsort(-shares_V[10:50])[:K]
    assert ids_BK.tolist() == [best.tolist()] * 2
    np.testing.assert_allclose(scores_BK[0], np.log(shares_V[best]), rtol=1e-6)


class Encoder:
    """Encodes a history as the sum of its items' vectors."""

    def __init__(self, items_VD):
        self.items_VD = items_VD

    def encode_users(self, input_ids, attention_mask=None):
        return (self.items_VD[input_ids] * (input_ids > 0)[..., None]).sum(dim=1)


@pytest.mark.parametrize("deny", ["all", "each", "some", None])
@pytest.mark.parametrize("allow", ["all", "each", "some", None])
@pytest.mark.parametrize("num_rows", [1, 7])
def test_histories_get_the_lists_of_naive_code(size, monkeypatch, deny, allow, num_rows):
    monkeypatch.setattr(retriever, "LONG_LIST", 50)
    random = np.random.default_rng(0)
    items_VD = vectors(V, 0)
    histories = [random.integers(3, V, length) for length in random.integers(0, 6, num_rows)]
    histories[0] = np.array([5, 6])

    def lists(kind, share):
        if kind in ("all", None):
            return [draw(random, share)] if kind else None
        return [draw(random, share if kind == "each" or row % 2 else 0.02) for row in range(num_rows)]

    allowed, denied = lists(allow, 0.4), lists(deny, 0.6)
    shares_V = random.random(V)
    popular = PopularItems(shares_V, device=torch.device("cpu"))
    finder = Retriever(Encoder(items_VD), ExactIndex(items_VD), popular, max_length=10)
    batches = []
    scores_RK, ids_RK = finder.retrieve(
        Histories.from_lists({"input_ids": histories}), K, allowed=allowed, denied=denied, advance=batches.append
    )
    for row, history in enumerate(histories):
        own = {"allowed": allowed, "denied": denied}
        own = {name: ids[0 if len(ids) == 1 else row] for name, ids in own.items() if ids is not None}
        ban = banned(1, **own, excluded=[history])
        if len(history):
            expected = naive(items_VD[history].sum(dim=0)[None], items_VD, K, ban)
        else:
            expected = naive(torch.ones(1, 1), torch.log(torch.from_numpy(shares_V))[:, None].float(), K, ban)
        np.testing.assert_array_equal(ids_RK[row], expected[1][0])
        np.testing.assert_allclose(scores_RK[row], expected[0][0], rtol=1e-4, atol=1e-4)
    assert sum(batches) == num_rows
