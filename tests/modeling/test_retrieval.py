"""The prepared exact search against `top_k`, which is tested against sorting by hand."""

import pytest
import torch

from seqrec.modeling import retrieval, scoring
from seqrec.modeling.retrieval import ExactIndex, rescore
from seqrec.modeling.scoring import largest, top_k

NUM_ITEMS, WIDTH, NUM_USERS = 20_000, 16, 5


@pytest.fixture(autouse=True)
def _small_is_large(monkeypatch):
    """Search a catalogue of a test's size as if it were large, in several chunks."""
    monkeypatch.setattr(retrieval, "LARGE_CATALOGUE", 1000)
    monkeypatch.setattr(retrieval, "CACHED_SCORES", 10_000)
    monkeypatch.setattr(scoring, "CACHED_SCORES", 2_000)


@pytest.fixture
def asked_again(monkeypatch):
    """The numbers of users whom the coarse pass could not answer."""
    numbers = []

    def spy(users_BD, *args, **kwargs):
        numbers.append(len(users_BD))
        return top_k(users_BD, *args, **kwargs)

    monkeypatch.setattr(retrieval, "top_k", spy)
    return numbers


def clustered(seed=0):
    """Items in clusters, and users near some of them."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(200, WIDTH, generator=generator)
    items = centres[torch.randint(0, 200, (NUM_ITEMS,), generator=generator)]
    users = centres[torch.randint(0, 200, (NUM_USERS,), generator=generator)]
    return users, items + 0.5 * torch.randn(NUM_ITEMS, WIDTH, generator=generator)


def assert_same_lists(found, expected):
    torch.testing.assert_close(found[0], expected[0])
    assert found[1].equal(expected[1])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("masks", ["none", "each", "shared", "allowed"])
def test_it_lists_what_top_k_lists(seed, masks, asked_again):
    users, items = clustered(seed)
    best = top_k(users, items, 10)[1]
    options = {
        "none": {},
        "each": {"excluded_BS": torch.cat([best[:, :7], torch.zeros(NUM_USERS, 3, dtype=torch.long)], dim=1)},
        "shared": {"excluded_BS": best[:1]},
        "allowed": {"allowed_BA": torch.arange(100, 300)[None]},
    }[masks]
    assert_same_lists(ExactIndex(items).search(users, 5, **options), top_k(users, items, 5, **options))
    assert asked_again == ([NUM_USERS] if masks == "allowed" else [])


def test_items_that_bfloat16_cannot_tell_apart_are_still_ranked_exactly(asked_again):
    users, items = clustered()
    items[3:] = items[3] * (1 + 1e-4 * torch.rand(NUM_ITEMS - 3, 1))
    assert_same_lists(ExactIndex(items).search(users, 5), top_k(users, items, 5))
    assert asked_again == [NUM_USERS]


def test_special_tokens_and_rows_beyond_the_end_are_never_listed():
    users, items = clustered()
    items[:3] = 100 * users[0]
    items = items[:-5]  # the last block is not full
    scores, token_ids = ExactIndex(items).search(users, 5)
    assert (token_ids >= 3).all()
    assert_same_lists((scores, token_ids), top_k(users, items, 5))


def test_the_coarse_error_is_within_its_bound():
    generator = torch.Generator().manual_seed(0)
    users, items = torch.randn(50, 64, generator=generator), torch.randn(400, 64, generator=generator)
    coarse = (users.bfloat16() @ items.bfloat16().T).double()
    bound = retrieval.COARSE_ERROR * users.norm(dim=1)[:, None] * items.norm(dim=1)
    assert ((coarse - users.double() @ items.double().T).abs() < bound).all()


def test_weights_of_bfloat16_are_scored_in_float32():
    users, items = clustered()
    assert_same_lists(ExactIndex(items.bfloat16()).search(users, 5), top_k(users, items.bfloat16(), 5))


@pytest.mark.parametrize("width", [3, 64, 2000, 5000, 5003])
def test_largest_by_blocks_is_topk(width):
    scores = torch.randint(0, 50, (4, width), generator=torch.Generator().manual_seed(width)).float()
    scores[1, 7:] = -torch.inf
    scores[2] = -torch.inf
    values, columns = largest(scores, 3)
    assert values.equal(scores.topk(3).values)
    assert scores.gather(1, columns)[:2].equal(values[:2])


def test_rescored_candidates_may_be_nobody():
    users, items = torch.ones(1, 1), torch.arange(10.0)[:, None]
    scores, token_ids = rescore(users, items, torch.tensor([[-1, 99, 1, 5, 8]]), 3, torch.tensor([[8]]))
    assert scores.tolist() == [[5, -torch.inf, -torch.inf]]
    assert token_ids.tolist() == [[5, 0, 0]]
