"""Measures of faithful explanations, against naive code and models whose reasons are known."""

import numpy as np
import pytest
import torch

from seqrec import Histories
from seqrec.errors import InputError
from seqrec.evaluation.faithfulness import KS, changes, measure_faithfulness
from seqrec.evaluation.faithfulness_tables import faithfulness_table
from seqrec.search.exact_index import ExactIndex
from seqrec.search.retriever import Retriever

NUM_TOKENS, SIZE, LONGEST = 60, 8, 20


class SumOfItems:
    """A model whose user vector is the weighted sum of the items' vectors, so that contributions are known exactly."""

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        self.vectors = torch.randn(NUM_TOKENS, SIZE, generator=generator)
        self.weights = torch.rand(NUM_TOKENS, generator=generator)
        self.weights[0] = 0

    def encode_users(self, input_ids, attention_mask=None):
        return (self.vectors[input_ids] * self.weights[input_ids][..., None]).sum(dim=1)

    def encode_items(self, ids=None):
        return self.vectors if ids is None else self.vectors[ids]


@pytest.fixture
def model():
    return SumOfItems()


@pytest.fixture
def retriever(model):
    index = ExactIndex(model.encode_items())
    return Retriever(model, index, index, max_length=LONGEST)


@pytest.fixture
def histories():
    generator = np.random.default_rng(0)
    lengths = generator.integers(1, 30, 40)
    return Histories.from_lists({"input_ids": [generator.permutation(NUM_TOKENS - 3)[:n] + 3 for n in lengths]})


def true_contributions(model):
    def explain(history, target):
        ids = torch.from_numpy(history["input_ids"][0])
        return ((model.vectors[ids] @ model.vectors[target]) * model.weights[ids]).numpy()

    return explain


def naive_measures(model, full, contributions, target):
    """Follow one explanation event by event, in plain Python."""
    history = full[-LONGEST:]
    by_importance = sorted(range(len(history)), key=lambda place: -contributions[place])

    def score_and_rank(kept):
        ids = torch.tensor([history[place] for place in sorted(kept)])
        scores = model.vectors @ (model.vectors[ids] * model.weights[ids][:, None]).sum(dim=0)
        rivals = [token for token in range(3, NUM_TOKENS) if token not in full]
        return float(scores[target]), sum(float(scores[token]) >= float(scores[target]) for token in rivals)

    before, _ = score_and_rank(range(len(history)))
    deleted, kept = [], []
    for step in range(10):
        number = step * len(history) // 10
        deleted.append(score_and_rank(by_importance[number:]))
        kept.append(score_and_rank(by_importance[: len(history) - number]))
    found = {
        "drop": before - score_and_rank(by_importance[1:])[0],
        "del": np.mean([score - before for score, _ in deleted]),
        "ins": np.mean([score - before for score, _ in kept]),
    }
    for k in KS:
        found[f"pos@{k}"] = np.mean([rank <= k for _, rank in deleted])
        found[f"neg@{k}"] = np.mean([rank <= k for _, rank in kept])
    return found


def test_measures_are_those_of_naive_code(model, retriever, histories):
    explain = true_contributions(model)
    found = measure_faithfulness(retriever, histories, {"true": explain}, num_users=1000)
    rows = []
    for row in histories:
        full = row["input_ids"].tolist()
        if len(full) < 2:
            continue
        one = Histories.from_lists({"input_ids": [row["input_ids"]]})
        target = int(retriever.retrieve(one, 1)[1][0, 0])
        rows.append(naive_measures(model, full, explain(one.newest(LONGEST), target), target))
    assert found["num_users"] == len(rows)
    for measure in rows[0]:
        told = found["methods"]["true"][measure]
        assert told["mean"] == pytest.approx(np.mean([row[measure] for row in rows]), abs=1e-4)
        assert told["low"] <= told["mean"] <= told["high"]


def test_the_truth_beats_chance_and_its_opposite(model, retriever, histories):
    explain = true_contributions(model)
    methods = {"true": explain, "opposite": lambda history, target: -explain(history, target)}
    found = measure_faithfulness(retriever, histories, methods)["methods"]
    names = ("true", "random", "opposite")
    means = {measure: [found[name][measure]["mean"] for name in names] for measure in found["true"]}
    for measure in ("drop", "drop_ratio", "ins", "neg@10"):
        assert means[measure][0] > means[measure][1] > means[measure][2], measure
    for measure in ("del", "pos@10"):
        assert means[measure][0] < means[measure][1] < means[measure][2], measure
    assert means["drop_ratio"][1] == 1


def test_changes_take_events_by_importance_and_leave_at_least_one():
    kept = changes(np.array([0.1, 0.9, 0.5]))
    assert kept.shape == (21, 3)
    assert kept[0].tolist() == [True, False, True]
    assert kept[10].tolist() == [True, False, False]  # the step that removes the share 9 / 10
    assert kept[-1].tolist() == [False, True, False]
    assert kept.any(axis=1).all()
    assert kept[1].all()
    assert kept[11].all()


def test_the_random_drop_is_the_mean_over_single_events(model, retriever):
    ids = np.array([5, 9, 30, 12])
    history = Histories.from_lists({"input_ids": [ids]})
    found = measure_faithfulness(retriever, history, {})["methods"]["random"]["drop"]["mean"]
    target = int(retriever.retrieve(history, 1)[1][0, 0])
    assert found == pytest.approx(true_contributions(model)(history, target).mean(), abs=1e-4)


def test_users_are_drawn_by_the_seed(model, retriever, histories):
    methods = {"true": true_contributions(model)}
    first, second, other = (
        measure_faithfulness(retriever, histories, methods, num_users=10, seed=seed) for seed in (1, 1, 2)
    )
    assert first == second != other
    assert first["num_users"] == 10


def test_what_cannot_be_measured_is_refused(model, retriever, histories):
    with pytest.raises(InputError, match="num_users must be at least 1"):
        measure_faithfulness(retriever, histories, {}, num_users=0)
    single = Histories.from_lists({"input_ids": [np.array([5]), np.array([], dtype=np.int64)]})
    with pytest.raises(InputError, match="No history has two events"):
        measure_faithfulness(retriever, single, {})


def test_the_table_has_a_line_for_each_method(model, retriever, histories):
    found = measure_faithfulness(retriever, histories, {"true": true_contributions(model)}, num_users=10)
    head, true, chance = faithfulness_table(found).split("\n")
    assert head.split() == ["users", "drop", "drop_ratio", "del", "ins", "pos@10", "neg@10"]
    assert true.split()[:2] == ["true", "10"]
    assert chance.split()[0] == "random"
    assert max(map(len, faithfulness_table(found, width=60).split("\n"))) <= 60
