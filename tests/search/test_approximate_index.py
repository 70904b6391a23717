"""Approximate indexes: which items they may miss, and which they may not."""

import builtins
import contextlib
import copy
import pickle

import pytest
import torch

from seqrec.inference.recommender import Recommender
from seqrec.search.approximate_index import build_index
from seqrec.search.scoring import top_k

NUM_ITEMS, WIDTH, NUM_USERS = 5000, 16, 50


@pytest.fixture(scope="module")
def vectors():
    """Users and items in clusters."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(50, WIDTH, generator=generator)
    items = centres[torch.randint(0, 50, (NUM_ITEMS,), generator=generator)]
    users = centres[torch.randint(0, 50, (NUM_USERS,), generator=generator)]
    return users, items + 0.5 * torch.randn(NUM_ITEMS, WIDTH, generator=generator)


@pytest.fixture(scope="module", params=["exact", "ivf", "hnsw"])
def index(request, vectors):
    return build_index(request.param, vectors[1])


def recall(found, expected):
    """Share of the expected ids that were found."""
    return torch.stack([torch.isin(one, other).float().mean() for one, other in zip(expected, found, strict=True)])


def test_it_finds_nearly_everything_and_scores_it_exactly(index, vectors):
    users, items = vectors
    scores, token_ids = index.search(users, 10)
    assert recall(token_ids, top_k(users, items, 10)[1]).mean() > 0.9
    torch.testing.assert_close(scores, (users[:, None] * items[token_ids]).sum(-1))
    assert (scores.diff(dim=1) <= 0).all()


def test_excluded_items_are_left_out_and_replaced(index, vectors):
    users, items = vectors
    excluded = torch.nn.functional.pad(top_k(users, items, 40)[1], (0, 5))
    _, token_ids = index.search(users, 10, excluded_BS=excluded)
    assert (token_ids >= 3).all()
    assert not any(torch.isin(one, barred).any() for one, barred in zip(token_ids, excluded, strict=True))
    assert recall(token_ids, top_k(users, items, 10, excluded_BS=excluded)[1]).mean() > 0.9


def test_a_search_among_allowed_items_is_exact(index, vectors):
    users, items = vectors
    allowed = torch.tensor([[7, 9, 4000]])
    found, expected = (
        index.search(users, 5, allowed_BA=allowed),
        top_k(users, items, 5, allowed_BA=allowed),
    )
    torch.testing.assert_close(found[0], expected[0])
    assert found[1].equal(expected[1])


def test_nobody_gets_fewer_items_than_there_are(index, vectors):
    """A user far from all cells, and a list longer than what the cells that are looked into hold."""
    users, _ = vectors
    _, token_ids = index.search(-users[:3], 2000)
    assert (token_ids >= 3).all()


def test_it_answers_alike_each_time(index, vectors):
    users, _ = vectors
    assert index.search(users, 10)[1].equal(index.search(users, 10)[1])


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda index: pickle.loads(pickle.dumps(index))])
def test_a_copy_answers_as_the_index_does(index, vectors, duplicate):
    users, _ = vectors
    found, expected = duplicate(index).search(users, 10), index.search(users, 10)
    assert found[0].equal(expected[0])
    assert found[1].equal(expected[1])


@pytest.mark.parametrize("name", ["exact", "ivf", "hnsw"])
@pytest.mark.parametrize("num_items", range(1, 9))
def test_tiny_catalogues_are_listed_whole_and_in_silence(name, num_items, capfd):
    torch.manual_seed(0)
    users, items = torch.randn(2, 8), torch.randn(num_items + 3, 8)
    index, excluded = build_index(name, items), torch.tensor([[3]])
    for k in (1, num_items, num_items + 1, 50):
        for options in ({}, {"excluded_BS": excluded}, {"allowed_BA": excluded}):
            found, expected = index.search(users, k, **options), top_k(users, items, k, **options)
            torch.testing.assert_close(found[0], expected[0])
            assert found[1].equal(expected[1])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["exact", "ivf"])
@pytest.mark.parametrize("num_distinct", [1, 7, 60])
def test_equal_items_are_listed_in_the_order_of_their_ids(name, num_distinct, vectors):
    """Each of few vectors many times over; a cell of `ivf` holds all its equals, of which candidates are some."""
    users, items = vectors
    items = items[torch.randint(0, num_distinct, (NUM_ITEMS,), generator=torch.Generator().manual_seed(0))]
    index = build_index(name, items)
    _, token_ids = index.search(users, 10)
    assert token_ids.equal(top_k(users, items, 10)[1])
    assert index.search(users, 30)[1][:, :10].equal(token_ids)
    assert torch.cat([index.search(user[None], 10)[1] for user in users]).equal(token_ids)


def test_an_unknown_index_is_refused(vectors):
    with pytest.raises(ValueError, match="index must be one of exact, ivf, hnsw, got 'flat'"):
        build_index("flat", vectors[1])


def test_without_faiss_it_says_what_to_install(vectors, monkeypatch):
    real_import = builtins.__import__

    def without_faiss(name, *args, **kwargs):
        if name == "faiss":
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_faiss)
    with pytest.raises(ImportError, match=r'pip install "seqrec\[index\]"'):
        build_index("ivf", vectors[1])


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
@pytest.mark.parametrize("name", ["exact", "ivf", "hnsw"])
def test_a_copy_of_a_recommender_recommends_as_it_does(recommender, name, duplicate):
    original = Recommender(recommender.model, recommender.tokenizer, recommender.items, index=name)
    original.similar_items("item 1", k=5)
    copied = duplicate(original)
    for history in ([], ["item 1", "item 7"]):
        with contextlib.nullcontext() if history else pytest.warns(UserWarning, match="no known item"):
            assert copied.recommend(history, k=5) == original.recommend(history, k=5)
    assert copied.similar_items("item 1", k=5) == original.similar_items("item 1", k=5)


@pytest.mark.parametrize("name", ["ivf", "hnsw"])
def test_a_recommender_searches_by_the_index_it_is_given(recommender, name, tmp_path):
    recommender.save_pretrained(tmp_path)
    indexed = Recommender.from_pretrained(tmp_path, index=name)
    assert type(indexed.retriever.index) is type(indexed.directions) is type(build_index(name, torch.randn(43, 16)))
    history = ["item 1", "item 7"]
    found, expected = indexed.recommend(history, k=5), recommender.recommend(history, k=5)
    assert [one.item_id for one in found] == [one.item_id for one in expected]  # 40 items: all are candidates
    assert [one.item_id for one in indexed.similar_items("item 1", k=5)] == [
        one.item_id for one in recommender.similar_items("item 1", k=5)
    ]
