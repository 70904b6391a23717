"""Rollouts: greedy ones repeat recommend, and beam search finds the best of all."""

from itertools import permutations

import pytest
import torch

from seqrec.errors import InputError

HISTORY = ["item 5", "item 9", "item 7"]
TIMES = [86_400 * 19_000, 86_400 * 19_001, 86_400 * 19_003]
AT = 86_400 * 19_010
CHOICES = {
    "items": {},
    "last_event": {"time_encoding": "relative", "request_time": "last_event"},
    "target": {"time_encoding": "embedding", "request_time": "target"},
}
every_choice = pytest.mark.parametrize("choices", CHOICES.values(), ids=CHOICES)
only_sasrec = pytest.mark.parametrize("model_type", ["sasrec"])


def asked(recommender, num_added=0):
    """Return the times of a request after some items were added, as far as the model reads them."""
    config = recommender.model.config
    if not config.reads_time:
        return {}
    added = AT if config.request_time == "target" else TIMES[-1]
    times = {"timestamps": [*TIMES, *[added] * num_added]}
    return times | ({"at": AT} if config.request_time == "target" else {})


def ids(rollout):
    return [one.item_id for one in rollout.steps]


def log_probability(recommender, history, item_id, **times):
    """Compute the logarithm of the softmax from all scores that recommend gives."""
    found = recommender.recommend(history, k=40, exclude_seen=False, **times)
    scores = {one.item_id: one.score for one in found}
    return scores[item_id] - torch.tensor([*scores.values()]).logsumexp(dim=0).item()


@every_choice
@pytest.mark.parametrize("exclude_seen", [True, False])
def test_a_greedy_rollout_repeats_recommend(recommender, exclude_seen):
    (found,) = recommender.rollout(HISTORY, 6, exclude_seen=exclude_seen, **asked(recommender))
    history = list(HISTORY)
    for place, step in enumerate(found.steps):
        times = asked(recommender, num_added=place)
        (best,) = recommender.recommend(history, k=1, exclude_seen=exclude_seen, **times)
        assert (step.item_id, step.title) == (best.item_id, best.title)
        assert step.score == pytest.approx(log_probability(recommender, history, step.item_id, **times), abs=1e-4)
        history.append(step.item_id)
    assert len(found.steps) == 6
    assert found.score == pytest.approx(sum(step.score for step in found.steps))


def test_beam_search_is_brute_force_on_a_tiny_catalogue(recommender):
    some = [f"item {index}" for index in range(6)]
    expected = {}
    for path in permutations(some, 2):
        first, second = (log_probability(recommender, [*HISTORY, *path[:place]], path[place]) for place in (0, 1))
        expected[path] = first + second
    best = sorted(expected, key=lambda path: -expected[path])
    found = recommender.rollout(HISTORY, 2, beams=6, allow=some, exclude_seen=True, deny=[])
    unseen = [path for path in best if "item 5" not in path][:6]
    assert [tuple(ids(one)) for one in found] == unseen
    assert [one.score for one in found] == pytest.approx([expected[path] for path in unseen], abs=1e-4)


@only_sasrec
def test_all_beams_find_the_best_of_all(recommender):
    greedy, some, best = (recommender.rollout(HISTORY, 2, beams=beams)[0].score for beams in (1, 3, 40))
    assert greedy < best + 1e-4
    assert some < best + 1e-4
    assert len({tuple(ids(one)) for one in recommender.rollout(HISTORY, 3, beams=8)}) == 8


def test_several_histories_are_rolled_out_as_if_alone(recommender):
    histories = [HISTORY, ["item 1"], [f"item {index}" for index in range(20)]]
    allow = [[f"item {index}" for index in range(start, 40)] for start in (0, 10, 30)]
    found = recommender.rollout(histories, 3, beams=2, allow=allow)
    for history, own, together in zip(histories, allow, found, strict=True):
        alone = recommender.rollout(history, 3, beams=2, allow=own)
        assert [ids(one) for one in together] == [ids(one) for one in alone]
        assert [one.score for one in together] == pytest.approx([one.score for one in alone], abs=1e-4)


@only_sasrec
def test_it_ends_when_no_item_is_left(recommender):
    found = recommender.rollout(HISTORY, 5, beams=3, allow=["item 1", "item 2", "item 5"])
    assert sorted(map(ids, found)) == [["item 1", "item 2"], ["item 2", "item 1"]]
    (nothing,) = recommender.rollout(HISTORY, 5, allow=HISTORY)
    assert (nothing.steps, nothing.score) == ([], 0)


@only_sasrec
def test_hidden_items_are_no_steps(recommender):
    (first,) = recommender.rollout(HISTORY, 4)
    recommender.hide_items(ids(first)[:1])
    assert ids(first)[0] not in ids(recommender.rollout(HISTORY, 4)[0])


@only_sasrec
def test_a_history_without_known_items_begins_with_the_most_popular(recommender):
    with pytest.warns(UserWarning, match="they begin with the most popular items"):
        (found,) = recommender.rollout([], 2)
    assert ids(found)[0] == "item 0"
    assert ids(found)[1] == recommender.recommend(["item 0"], k=1)[0].item_id


@only_sasrec
@pytest.mark.parametrize(
    "choices", [{"tasks": ["next_item", "rating"], "past_labels": ["rating"], "rating_scale": [1, 5]}]
)
def test_added_items_have_no_labels(recommender):
    (found,) = recommender.rollout(HISTORY, 2, rating=[5, None, 3])
    first, second = ids(found)
    assert recommender.recommend([*HISTORY, first], k=1, rating=[5, None, 3, None])[0].item_id == second


@only_sasrec
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_steps": 0}, "num_steps must be an integer >= 1, got 0"),
        ({"num_steps": 2.5}, "num_steps must be an integer >= 1, got 2.5"),
        ({"beams": 0}, "beams=0 is not an integer from 1 to 40"),
        ({"beams": 41}, "beams=41 is not an integer from 1 to 40"),
        ({"history": "item 5"}, "A history is a list of item ids"),
        ({"unknown": "error", "history": ["x"]}, "1 of 1 items in this history are not in the vocabulary"),
        ({"at": "now"}, "at='now' has no effect"),
    ],
)
def test_what_cannot_be_is_refused(recommender, arguments, message):
    with pytest.raises(InputError, match=message) as raised:
        recommender.rollout(**{"history": HISTORY, **arguments})
    assert "\n" not in str(raised.value)


@only_sasrec
@pytest.mark.parametrize("choices", [CHOICES["last_event"]], ids=["last_event"])
def test_an_empty_history_has_no_time_to_go_on_from(recommender):
    with (
        pytest.warns(UserWarning, match="hold no known item"),
        pytest.raises(InputError, match="a history without known items has none for what comes next"),
    ):
        recommender.rollout([], 2)
