"""Learn the rule for default settings from `experiments.csv`, with each data set left out in turn.

    python benchmarks/defaults/learn.py

A rule asks at most one question about the data, such as whether there are few interactions per item. Each
answer has one of the candidates. A rule's score on a data set is its validation NDCG@10 as a share of the best
candidate's, averaged over the splits.
"""

import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import mean

from run import CIRCUMSTANCES, read_experiments

sys.path.insert(0, str(Path(__file__).parents[1]))
from accuracy_tables import as_table
from record import put_tables

from seqrec.training.default_rule import Circumstances

HERE = Path(__file__).parent
# What a rule may ask about.
QUESTIONS = ("interactions_per_item", "mean_length", "num_items", "num_interactions", "density", "length_95")
WORTHWHILE = 0.01  # a question that gains less than this is not asked


@dataclass(frozen=True)
class Case:
    """A data set under a split: its circumstances, and each candidate's share of the best validation NDCG@10."""

    data: str
    split: str
    circumstances: Circumstances
    shares: dict[str, float]

    @property
    def source(self) -> str:
        """The data set that the data are, or are a part of."""
        return self.data.partition(",")[0]


@dataclass(frozen=True)
class Question:
    """A question about data, and the name of the candidate for each answer."""

    name: str
    threshold: float
    below: str
    above: str


Rule = Question | str


def choose(rule: Rule, circumstances: Circumstances) -> str:
    """Return the candidate for data."""
    if isinstance(rule, str):
        return rule
    return rule.below if getattr(circumstances, rule.name) < rule.threshold else rule.above


def score(rule: Rule, cases: Iterable[Case]) -> float:
    """Average the share of the best over data sets."""
    by_data: dict[str, list[float]] = {}
    for case in cases:
        by_data.setdefault(case.source, []).append(case.shares[choose(rule, case.circumstances)])
    return mean(map(mean, by_data.values()))


def read_cases() -> list[Case]:
    """Read the experiments on data with several candidates; those that were not tried count as the worst of them."""
    found: dict[tuple[str, str], dict[str, list[float]]] = {}
    for row in read_experiments():
        by_candidate = found.setdefault((row["data"], row["split"]), {})
        by_candidate.setdefault(row["candidate"], []).append(float(row["validation"]))
    names = sorted({name for by_candidate in found.values() for name in by_candidate})
    circumstances = json.loads(CIRCUMSTANCES.read_text(encoding="utf-8"))
    cases = []
    for (data, split), by_candidate in found.items():
        if len(by_candidate) == 1:
            continue
        scores = {name: mean(values) for name, values in by_candidate.items()}
        worst, best = min(scores.values()), max(scores.values())
        known = Circumstances(**circumstances[f"{data} {split}"])
        cases.append(Case(data, split, known, {name: scores.get(name, worst) / best for name in names}))
    return cases


def learn(cases: list[Case]) -> Rule:
    """Return the rule with the highest score; of equal ones, that which asks about the widest gap between data."""
    best: Rule = best_candidate(cases)
    reached = score(best, cases) + WORTHWHILE
    for name, threshold in thresholds(cases):
        below = [case for case in cases if getattr(case.circumstances, name) < threshold]
        above = [case for case in cases if case not in below]
        rule = Question(name, threshold, best_candidate(below), best_candidate(above))
        if score(rule, cases) > reached:
            best, reached = rule, score(rule, cases)
    return best


def best_candidate(cases: list[Case]) -> str:
    """Return the candidate with the highest score."""
    return max(cases[0].shares, key=lambda name: score(name, cases))


def thresholds(cases: list[Case]) -> list[tuple[str, float]]:
    """Return what can be asked: the geometric means of neighbouring values, those of the widest gaps first."""
    gaps = []
    for name in QUESTIONS:
        values = sorted({getattr(case.circumstances, name) for case in cases})
        gaps += [(low / high, name, (low * high) ** 0.5) for low, high in pairwise(values)]
    return [(name, threshold) for _, name, threshold in sorted(gaps)]


def leave_one_out(cases: list[Case]) -> list[tuple[Case, Rule]]:
    """Return each case, and the rule learned from the other data sets."""
    sources = {case.source for case in cases}
    rules = {source: learn([case for case in cases if case.source != source]) for source in sources}
    return [(case, rules[case.source]) for case in cases]


def describe(rule: Rule) -> str:
    """Return a rule in words."""
    if isinstance(rule, str):
        return rule
    return f"{rule.below} if {rule.name} < {rule.threshold:.3g}, else {rule.above}"


def table(cases: list[Case]) -> str:
    """Return the experiments, and the rule learned without each data set, as a table and a sentence."""
    candidates = list(cases[0].shares)
    rows = []
    for case, rule in leave_one_out(cases):
        chosen = case.shares[choose(rule, case.circumstances)]
        shares = [f"{case.shares[name]:.3f}" for name in candidates]
        rows.append([case.data, case.split, *shares, describe(rule), f"{chosen:.3f}"])
    rule = learn(cases)
    drawn = as_table(["data", "split", *candidates, "rule of the other data", "its share"], rows)
    return f"{drawn}\n\nThe rule of all data: {describe(rule)}. Its mean share is {score(rule, cases):.3f}."


def main() -> None:
    """Print the table, and put it into the README."""
    found = table(read_cases())
    put_tables(HERE.parent / "README.md", {"defaults": found})
    print(found)


if __name__ == "__main__":
    main()
