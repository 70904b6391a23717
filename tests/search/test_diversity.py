"""Diverse lists agree with naive code."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqrec.errors import NonFiniteError
from seqrec.interactions.item_categories import ItemCategories
from seqrec.interactions.item_rows import token_ids_of
from seqrec.search.diversity import make_diversifier
from seqrec.search.diversity_options import DiversityOptions

NUM_ITEMS, NUM_FOUND, NUM_GENRES = 40, 12, 5
VOCAB_SIZE = token_ids_of(NUM_ITEMS)
COUNTS = np.concatenate([np.zeros(3, dtype=np.int64), np.arange(NUM_ITEMS)[::-1] ** 2])
TOLERANCE = 1e-3  # in float32, log-determinants of nearly dependent vectors are not more exact


def some_vectors():
    return torch.randn(VOCAB_SIZE, 6, generator=torch.Generator().manual_seed(1))


def some_genres(num_genres=NUM_GENRES):
    """Sets of up to 3 genres; every fourth item has none."""
    random = np.random.default_rng(2)
    sets = [
        random.choice(NUM_GENRES, size=random.integers(1, 4) if row % 4 else 0, replace=False)
        for row in range(NUM_ITEMS)
    ]
    token_ids_E = np.repeat(token_ids_of(np.arange(NUM_ITEMS)), [len(one) for one in sets])
    codes_E = np.concatenate(sets) * (num_genres // NUM_GENRES)
    return ItemCategories.of_pairs(tuple(map(str, range(num_genres))), token_ids_E, codes_E, VOCAB_SIZE)


VECTORS, GENRES = some_vectors(), some_genres()
MANY_GENRES = some_genres(NUM_GENRES * 2000)  # so many that codes are numbered per user


def diversifier(k=6, rerank_from=NUM_FOUND, genres=GENRES, **options):
    return make_diversifier(
        DiversityOptions(**options),
        k=k,
        rerank_from=rerank_from,
        item_vectors=lambda token_ids: VECTORS[token_ids],
        counts_V=COUNTS,
        categories={"genres": genres, "brand": genres}.__getitem__,
    )


def found_items(seed, num_users=3, num_found=NUM_FOUND):
    """The best items of some users, the last of whom lacks some, and their histories, padded in different ways."""
    torch.manual_seed(seed)
    token_ids_BN = torch.stack([torch.randperm(NUM_ITEMS)[:num_found] + 3 for _ in range(num_users)])
    scores_BN = (4 * torch.randn(num_users, num_found)).sort(dim=1, descending=True).values
    scores_BN[-1, 9:], token_ids_BN[-1, 9:] = -torch.inf, 0
    seen_BS = torch.randint(3, VOCAB_SIZE, (num_users, 7))
    seen_BS[0, 4:] = 0
    return torch.ones(num_users, 2), seen_BS, scores_BN, token_ids_BN


def genres_of(token_id):
    return {code for code in GENRES.codes_VM[token_id].tolist() if code >= 0}


def cosine(one, other):
    first, second = VECTORS[one].double(), VECTORS[other].double()
    return float(first @ second / first.norm() / second.norm())


def jaccard(one, other):
    first, second = genres_of(one), genres_of(other)
    return len(first & second) / len(first | second) if first | second else float(one == other)


def relevance_of(scores):
    return [(score - min(scores)) / (max(scores) - min(scores)) for score in scores]


def mmr_gain(chosen, item, similarity, relevance, weight, history):
    return (1 - weight) * relevance - weight * max((similarity(item, one) for one in chosen), default=0.0)


def dpp_gain(chosen, item, similarity, relevance, weight, history):
    """The ratio of determinants with and without an item, by Schur's complement in float64."""
    kernel = np.array([[1.0 if a == b else similarity(a, b) for a in chosen] for b in chosen])
    row = np.array([similarity(item, one) for one in chosen])
    variance = 1 - row @ np.linalg.pinv(kernel, rcond=1e-9, hermitian=True) @ row if chosen else 1.0
    return (1 - weight) * relevance + weight * math.log(max(variance, 1e-5))


def mix_of(items):
    mix = dict.fromkeys(range(NUM_GENRES), 0.0)
    with_genres = [genres_of(item) for item in items if genres_of(item)]
    for genres in with_genres:
        for genre in genres:
            mix[genre] += 1 / len(genres) / len(with_genres)
    return mix


def calibrated_gain(chosen, item, similarity, relevance, weight, history):
    wanted, listed = mix_of(history), mix_of([*chosen, item])
    divergence = sum(p * math.log(p / (0.99 * listed[genre] + 0.01 * p)) for genre, p in wanted.items() if p)
    return (1 - weight) * relevance - weight * divergence


GAINS = {"mmr": mmr_gain, "dpp": dpp_gain, "calibrated": calibrated_gain}
SIMILARITIES = {"vectors": cosine, "genres": jaccard}


def assert_greedy(found, inputs, k, *, method="mmr", diversify_by="vectors", diversity=0.0, most=None):
    """Check each choice: no other candidate within the limit has a greater gain by naive code."""
    _, seen_BS, scores_BN, token_ids_BN = inputs
    for row, got in enumerate(found[1].tolist()):
        candidates = [one for one in token_ids_BN[row].tolist() if one]
        scores = dict(zip(candidates, scores_BN[row].tolist(), strict=False))
        relevance = dict(zip(candidates, relevance_of([*scores.values()]), strict=True))
        history = [one for one in seen_BS[row].tolist() if one]
        chosen = []
        for token_id in got:
            full = {genre for genre in range(NUM_GENRES) if most and sum(genre in genres_of(c) for c in chosen) >= most}
            gains = {
                one: GAINS[method](chosen, one, SIMILARITIES[diversify_by], relevance[one], diversity, history)
                for one in candidates
                if one not in chosen and not genres_of(one) & full
            }
            if not token_id:
                assert not gains
                continue
            assert gains[token_id] >= max(gains.values()) - TOLERANCE
            chosen.append(token_id)
        assert len(got) == k
        listed = [one for one in got if one]
        assert got == listed + [0] * (k - len(listed))
        assert found[0][row].tolist() == [scores[one] for one in listed] + [-math.inf] * (k - len(listed))


@given(
    seed=st.integers(0, 10**6),
    diversity=st.sampled_from([0.1, 0.3, 0.7, 1.0]),
    method=st.sampled_from(["mmr", "dpp", "calibrated"]),
    diversify_by=st.sampled_from(["vectors", "genres"]),
    most=st.sampled_from([None, 1, 2]),
    genres=st.sampled_from([GENRES, MANY_GENRES]),
)
def test_each_choice_is_the_best_by_naive_code(seed, diversity, method, diversify_by, most, genres):
    diversify_by = "genres" if method == "calibrated" else diversify_by
    options = {"diversity": diversity, "method": method, "diversify_by": diversify_by}
    inputs = found_items(seed)
    found = diversifier(**options, max_per=most and {"genres": most}, genres=genres).rank(*inputs, 6)
    assert_greedy(found, inputs, 6, **options, most=most)


def test_determinants_of_lists_are_those_of_their_matrices():
    """The sum of all gains is the log-determinant, which the naive test takes apart."""
    inputs = found_items(3)
    _, ids_BK = diversifier(diversity=0.5, method="dpp", k=5).rank(*inputs, 5)
    for chosen in ids_BK.tolist():
        kernel = np.array([[cosine(one, other) for other in chosen] for one in chosen])
        gains = [dpp_gain(chosen[:place], one, cosine, 0.0, 1.0, []) for place, one in enumerate(chosen)]
        assert sum(gains) == pytest.approx(np.linalg.slogdet(kernel)[1], abs=1e-6)


@pytest.mark.parametrize("method", ["mmr", "dpp"])
def test_at_most_diversity_a_list_holds_no_item_twice_in_other_words(method):
    vectors = VECTORS.repeat(2, 1)[: 2 * VOCAB_SIZE]
    twins = torch.tensor([[10, 10 + VOCAB_SIZE, 20, 20 + VOCAB_SIZE, 30, 30 + VOCAB_SIZE]])
    found = make_diversifier(
        DiversityOptions(diversity=1.0, method=method),
        k=3,
        rerank_from=6,
        item_vectors=lambda token_ids: vectors[token_ids],
        counts_V=np.ones(len(vectors), dtype=np.int64),
        categories=dict.__getitem__,
    ).rank(torch.ones(1, 2), twins, torch.arange(6.0).flip(0)[None], twins, 3)
    assert {token_id % VOCAB_SIZE for token_id in found[1][0].tolist()} == {10, 20, 30}
    assert found[1][0, 0] == 10


def test_calibrated_lists_have_the_mix_of_the_history():
    inputs = found_items(5, num_users=20, num_found=30)
    options = {"method": "calibrated", "diversify_by": "genres", "k": 10, "rerank_from": 30}

    def distance(diversity):
        _, ids_BK = diversifier(diversity=diversity, **options).rank(*inputs, 10)
        mixes = [(mix_of(seen), mix_of(got)) for seen, got in zip(inputs[1].tolist(), ids_BK.tolist(), strict=True)]
        return sum(abs(wanted[genre] - got[genre]) for wanted, got in mixes for genre in wanted)

    assert distance(0.99) < distance(0.5) < distance(0.01)


def test_a_history_without_categories_leaves_the_order_to_the_scores():
    users_BD, seen_BS, scores_BN, token_ids_BN = found_items(1)
    inputs = users_BD, seen_BS * 0, scores_BN, token_ids_BN
    found = diversifier(diversity=0.9, method="calibrated", diversify_by="genres").rank(*inputs, 6)
    assert torch.equal(found[1], token_ids_BN[:, :6])


@given(seed=st.integers(0, 10**6), most=st.integers(1, 3), k=st.integers(1, NUM_FOUND))
def test_limits_alone_take_the_best_items_within_them(seed, most, k):
    inputs = found_items(seed)
    found = diversifier(max_per={"genres": most, "brand": most + 1}, k=k).rank(*inputs, k)
    for candidates, got in zip(inputs[3].tolist(), found[1].tolist(), strict=True):
        chosen = []
        for one in candidates:
            counts = [sum(genre in genres_of(other) for other in chosen) for genre in genres_of(one)]
            if one and len(chosen) < k and all(count < most for count in counts):
                chosen.append(one)
        assert got == chosen + [0] * (k - len(chosen))


@given(seed=st.integers(0, 10**6), strength=st.sampled_from([0.1, 1.0, 10.0]))
def test_popularity_is_subtracted_as_by_naive_code(seed, strength):
    inputs = found_items(seed)
    found = diversifier(popularity_penalty=strength).rank(*inputs, 6)
    for scores, candidates, got in zip(inputs[2], inputs[3].tolist(), found[1].tolist(), strict=True):
        candidates = np.array([one for one in candidates if one])
        own = scores[: len(candidates)].double().numpy()
        logs = np.log1p(COUNTS[candidates])
        sums = (own - own.mean()) / own.std() - strength * (logs - logs.mean()) / logs.std()
        assert got == candidates[np.argsort(-sums, kind="stable")][:6].tolist()


def test_draws_depend_on_history_and_seed_alone():
    users_BD, seen_BS, scores_BN, token_ids_BN = inputs = found_items(7, num_users=8)
    rank = diversifier(exploration=2.0, seed=11).rank
    _, together = rank(*inputs, 6)
    for row in range(8):
        length = int((seen_BS[row] > 0).sum())
        alone = rank(*(part[row : row + 1] for part in (users_BD, seen_BS[:, :length], scores_BN, token_ids_BN)), 6)
        assert torch.equal(alone[1][0], together[row])
    assert torch.equal(rank(*inputs, 6)[1], together)
    same_items = token_ids_BN[:1].expand(8, -1), scores_BN[:1].expand(8, -1)
    _, of_others = rank(users_BD, seen_BS, same_items[1], same_items[0], 6)
    assert len({tuple(row) for row in of_others.tolist()}) > 4
    assert not torch.equal(diversifier(exploration=2.0, seed=-12).rank(*inputs, 6)[1], together)
    reversed_BS = seen_BS[1:2].flip(1)
    drawn = [rank(users_BD[:1], seen, scores_BN[:1], token_ids_BN[:1], 6)[1] for seen in (seen_BS[1:2], reversed_BS)]
    assert not torch.equal(*drawn)


def test_without_a_seed_draws_differ():
    inputs = found_items(7, num_users=8)
    first, second = (diversifier(exploration=2.0).rank(*inputs, 6)[1] for _ in range(2))
    assert not torch.equal(first, second)


def test_draws_are_in_proportion_to_the_softmax():
    """The first items of many histories are distributed by exp(score / temperature)."""
    num_users = 20_000
    scores = torch.tensor([1.0, 0.5, 0.0, -1.0])
    token_ids_BN = torch.arange(3, 7).expand(num_users, -1)
    seen_BS = torch.stack([torch.arange(num_users) % 37 + 3, torch.arange(num_users) // 37 + 3], dim=1)
    rank = diversifier(exploration=0.7, seed=0, k=2, rerank_from=4).rank
    _, ids_BK = rank(torch.ones(num_users, 1), seen_BS, scores.expand(num_users, -1), token_ids_BN, 2)
    wanted = torch.softmax(scores / 0.7, dim=0)
    assert torch.allclose(ids_BK[:, 0].bincount(minlength=7)[3:] / num_users, wanted, atol=0.015)
    after_best = ids_BK[ids_BK[:, 0] == 3, 1].bincount(minlength=7)[4:].float()
    assert torch.allclose(after_best / after_best.sum(), wanted[1:] / wanted[1:].sum(), atol=0.02)


@pytest.mark.parametrize(
    "options", [{"diversity": 0.4}, {"max_per": {"genres": 1}}, {"exploration": 1.0}, {"popularity_penalty": 1.0}]
)
def test_a_user_without_candidates_gets_none(options):
    users_BD, seen_BS, scores_BN, token_ids_BN = found_items(0)
    found = diversifier(**options).rank(users_BD, seen_BS, scores_BN - torch.inf, token_ids_BN * 0, 6)
    assert not found[1].any()
    assert found[0].eq(-torch.inf).all()


def test_scores_that_are_not_finite_are_refused():
    users_BD, seen_BS, scores_BN, token_ids_BN = found_items(0)
    scores_BN[1, 8] = torch.nan
    with pytest.raises(NonFiniteError, match=r"^Scores of the model hold NaN"):
        diversifier(diversity=0.4).rank(users_BD, seen_BS, scores_BN, token_ids_BN, 6)


@pytest.mark.parametrize("rerank_from", [5, 0, True, 6.0, None])
def test_fewer_candidates_than_the_list_holds_are_refused(rerank_from):
    with pytest.raises(ValueError, match=f"^rerank_from={rerank_from!r} is not an integer of at least k=6"):
        diversifier(diversity=0.4, rerank_from=rerank_from)


def test_no_more_candidates_are_asked_for_than_there_are_items():
    assert diversifier(diversity=0.4, rerank_from=np.int64(300)).num_candidates == NUM_ITEMS
