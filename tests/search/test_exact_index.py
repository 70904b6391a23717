"""The exact index agrees with `top_k`, which is tested against sorting by hand."""

import pytest
import torch

from seqrec.search import exact_index, scoring
from seqrec.search.coarse_items import Bfloat16Items, Int8Items, coarse_items
from seqrec.search.exact_index import ExactIndex, rescore
from seqrec.search.scoring import top_k

NUM_ITEMS, WIDTH, NUM_USERS = 20_000, 16, 5


@pytest.fixture(autouse=True, params=[Int8Items, Bfloat16Items])
def _small_is_large(request, monkeypatch):
    """Search a catalogue of a test's size as if it were large, in several chunks, with items of either kind."""
    if request.param is Int8Items and not has_vnni():
        pytest.skip("products of int8 may overflow on this processor")
    monkeypatch.setattr(exact_index, "coarse_items", request.param)
    monkeypatch.setattr(exact_index, "LARGE_CATALOGUE", 1000)
    monkeypatch.setattr(exact_index, "CACHED_SCORES", 10_000)
    monkeypatch.setattr(scoring, "CACHED_SCORES", 2_000)


def has_vnni():
    return isinstance(coarse_items(torch.ones(1, 2)), Int8Items)


@pytest.fixture
def asked_again(monkeypatch):
    """The numbers of users whom the coarse pass could not answer."""
    numbers = []

    def spy(users_BD, *args, **kwargs):
        numbers.append(len(users_BD))
        return top_k(users_BD, *args, **kwargs)

    monkeypatch.setattr(exact_index, "top_k", spy)
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


@pytest.mark.parametrize("masks", ["none", "each", "allowed"])
def test_hidden_items_are_listed_for_no_user(masks):
    users, items = clustered()
    best = top_k(users, items, 20)[1]
    hidden = torch.cat([best[:, ::2].flatten(), torch.arange(3, 5000)]).unique()
    options = {"none": {}, "each": {"excluded_BS": best[:, 1:5:2]}, "allowed": {"allowed_BA": best}}[masks]
    naive = users @ items.T
    naive[:, :3] = naive[:, hidden] = -torch.inf
    if masks == "each":
        naive.scatter_(1, options["excluded_BS"], -torch.inf)
    if masks == "allowed":
        naive = torch.full_like(naive, -torch.inf).scatter(1, best, naive.gather(1, best))
    found = ExactIndex(items, hidden).search(users, 5, **options)
    torch.testing.assert_close(found[0], naive.sort(dim=1, descending=True).values[:, :5])
    assert not torch.isin(found[1], hidden).any()
    assert_same_lists(found, top_k(users, items, 5, **options, hidden_H=hidden))


@pytest.mark.parametrize("place", [3, 1984, 1985, 1986, 2 * 1984 + 7, 9 * 1984 + 7, NUM_ITEMS - 1])
def test_the_best_item_is_found_in_whatever_chunk_it_lies(place):
    """Chunks have 1984 items for five users; the special tokens and the excluded item are in the first alone."""
    users, items = clustered()
    items[place] = 10 * users.mean(dim=0)
    users = users.mean(dim=0) + 0.1 * users
    found = ExactIndex(items).search(users, 5, excluded_BS=torch.tensor([[7]]))
    assert found[1][:, 0].tolist() == [place] * NUM_USERS
    assert_same_lists(found, top_k(users, items, 5, excluded_BS=torch.tensor([[7]])))


def test_users_who_are_asked_again_keep_their_own_exclusions(asked_again):
    """Half of the items are nearly equal, and score for the second and the fourth user alone."""
    users, items = clustered()
    near, half = items[NUM_ITEMS // 2 :], WIDTH // 2
    for zeros in (items[:, half:], near, users[0::2, half:], users[1::2]):
        zeros.zero_()
    near[:, -1] = 1 + 1e-4 * torch.rand(len(near), generator=torch.Generator().manual_seed(0))
    users[1::2, -1] = 1
    best = top_k(users, items, 10)[1]
    options = {"excluded_BS": torch.stack([best[user, user : user + 4] for user in range(NUM_USERS)])}
    assert_same_lists(ExactIndex(items).search(users, 5, **options), top_k(users, items, 5, **options))
    assert asked_again == [2]


def test_items_that_few_bits_cannot_tell_apart_are_still_ranked_exactly(asked_again):
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


@pytest.mark.parametrize("shape", ["plain", "one large component", "one large item", "zeros"])
def test_bounds_of_blocks_are_kept_and_close(shape):
    generator = torch.Generator().manual_seed(0)
    users, items = torch.randn(50, 64, generator=generator), torch.randn(1000, 64, generator=generator)
    if shape == "one large component":
        users[:, 3], items[:, 5] = 30 * users[:, 3], 30 * items[:, 5]
    if shape == "one large item":
        items[700] *= 100
    if shape == "zeros":
        users[7], items[64:130] = 0, 0
    index = ExactIndex(items)
    naive = users.double() @ items.double().T
    naive[:, :3] = -torch.inf
    naive = torch.nn.functional.pad(naive, (0, 24), value=-torch.inf).view(50, 16, 64).amax(dim=2)
    bounds = index.block_bounds(users, None)
    room = users.norm(dim=1)[:, None] * torch.nn.functional.pad(items.norm(dim=1), (0, 24)).view(16, 64).amax(dim=1)
    assert (bounds >= naive).all()
    assert (bounds - naive <= 0.2 * room).all()
    assert (bounds - naive)[:, :10].mean() < (0.2 if shape == "one large component" else 0.03) * room.mean()


def test_other_processors_than_those_with_vnni_multiply_in_bfloat16(monkeypatch):
    for instructions, kind in (
        ({"avx512_vnni": True}, Int8Items),
        ({"avx_vnni": True}, Int8Items),
        ({}, Bfloat16Items),
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=instructions: found)
        assert type(coarse_items(torch.ones(1, 2))) is kind


def test_items_with_one_component_are_told_apart():
    """Popular items are searched by their ranks alone."""
    ranks_V1 = torch.randperm(NUM_ITEMS, generator=torch.Generator().manual_seed(0)).float()[:, None]
    kind = coarse_items(ranks_V1)
    users = kind.round(torch.ones(2, 1))
    scores_BV = kind.multiply(users, 0, NUM_ITEMS) * users.scale_B[:, None]
    assert (scores_BV - ranks_V1.T).abs().max() <= 2**-7 * NUM_ITEMS


def test_vectors_that_are_not_finite_reach_the_list():
    """What asks for the list then refuses it."""
    users, items = clustered()
    items[9000, 2] = torch.nan
    assert ExactIndex(items).search(users, 5)[0][:, 0].isnan().all()
    users[1, 3] = torch.inf
    assert not ExactIndex(items).search(users, 5)[0][1].isfinite().any()


def test_weights_of_bfloat16_are_scored_in_float32():
    users, items = clustered()
    assert_same_lists(ExactIndex(items.bfloat16()).search(users, 5), top_k(users, items.bfloat16(), 5))


@pytest.mark.parametrize("num_users", [1, NUM_USERS])
@pytest.mark.parametrize("num_distinct", [1, 10, 300])
@pytest.mark.parametrize("k", [1, 5, 20])
def test_many_equal_items_are_listed_in_the_order_of_their_ids(num_users, num_distinct, k):
    """Equal items lie in many blocks, of which the coarse pass sees some: lists are those of `top_k` all the same."""
    users, items = clustered()
    users, items = users[:num_users], items[torch.randint(3, 3 + num_distinct, (NUM_ITEMS - 1,))]
    index = ExactIndex(items)
    scores, token_ids = index.search(users, k)
    assert_same_lists((scores, token_ids), top_k(users, items, k))
    assert (token_ids.diff(dim=1)[items[token_ids[:, 1:]].eq(items[token_ids[:, :-1]]).all(dim=2)] > 0).all()
    assert index.search(users, k + 7)[1][:, :k].equal(token_ids)


def test_a_tie_with_blocks_that_were_not_searched_is_doubtful(asked_again):
    """Scores that few bits hold exactly, and vectors of no error: the last place's equals lie in blocks unseen."""
    items = torch.zeros(NUM_ITEMS, WIDTH)
    found = ExactIndex(items).search(torch.zeros(1, WIDTH), 5)
    assert found[1].tolist() == [[3, 4, 5, 6, 7]]
    assert asked_again == [1]


def test_rescored_candidates_may_be_nobody():
    users, items = torch.ones(1, 1), torch.arange(10.0)[:, None]
    scores, token_ids = rescore(users, items, torch.tensor([[-1, 1, 5, 8, 99]]), 3, torch.tensor([[8]]))
    assert scores.tolist() == [[5, -torch.inf, -torch.inf]]
    assert token_ids.tolist() == [[5, 0, 0]]


@pytest.mark.parametrize("num_candidates", [1, 5, 63, 64, 65, 101])
def test_equal_candidates_score_the_same_and_keep_their_order(num_candidates):
    torch.manual_seed(num_candidates)
    users, items = torch.randn(1, 50), torch.randn(1, 50).repeat(200, 1)
    ids = torch.arange(3, 3 + num_candidates)[None]
    scores, token_ids = rescore(users, items, ids, num_candidates, None)
    assert token_ids.equal(ids)
    assert len(scores.unique()) == 1
