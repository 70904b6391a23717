"""Diverse lists agree with naive code."""

import math

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from seqrec.interactions.item_categories import ItemCategories
from seqrec.interactions.item_rows import token_ids_of
from seqrec.search.diversity import make_diversifier
from seqrec.search.diversity_options import DiversityOptions

NUM_ITEMS, NUM_FOUND, NUM_GENRES = 40, 12, 5
VOCAB_SIZE = token_ids_of(NUM_ITEMS)
COUNTS = np.concatenate([np.zeros(3, dtype=np.int64), np.arange(NUM_ITEMS)[::-1] ** 2])
TOLERANCE = 1e-5


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
    """Log-determinants of whole matrices, one more item at a time."""

    def volume(items):
        return np.linalg.det(np.array([[1.0 if a == b else similarity(a, b) for a in items] for b in items]))

    variance = volume([*chosen, item]) / volume(chosen) if chosen else 1.0
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
            assert gains[token_id] >= max(gains.values()) - TOLERANCE * 10
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
