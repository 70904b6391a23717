"""A warning for a model that a baseline beats, and what to try."""

import math
from collections.abc import Mapping
from typing import Any

from seqrec.evaluation.tables import RANKERS

__all__ = ["BASELINE_WARNING", "baseline_warning"]

BASELINE_WARNING = "baseline_warning"  # the field of `metrics.json`, which exists only if a baseline is better

METRIC = "ndcg@10"


def baseline_warning(metrics: Mapping[str, Any], split: str = "validation") -> str | None:
    """Say that baselines are better than the model by NDCG@10, and what to try; None if none is.

    Args:
        metrics: The content of `metrics.json`, or what `measure` returns.
        split: The held-out split to look at.
    """
    found = {name: number_at(metrics, name, split, METRIC) for name in RANKERS}
    model = found.pop("model")
    better = {name: value for name, value in found.items() if value is not None and model is not None and value > model}
    if not better:
        return None
    names = sorted(better, key=lambda name: -better[name])
    told = " and ".join(f"{RANKERS[name]} ({better[name]:.4f})" for name in names)
    verb = "has" if len(names) == 1 else "have"
    advice = advice_for(metrics, names)
    return f"On {split}, {told} {verb} a better NDCG@10 than the model ({model:.4f}). Try {' or '.join(advice)}."


def advice_for(metrics: Mapping[str, Any], better: list[str]) -> list[str]:
    """List what may help, the most promising first."""
    advice = []
    protocol, training = (metrics.get(name) for name in ("protocol", "training"))
    if better[0] == "recent_popularity":
        if not value_at(protocol, "popularity_windows"):
            advice.append("`popularity_windows`, which let the model read recent popularity too")
        elif value_at(protocol, "request_time") != "target":
            advice.append("`request_time` target, as this baseline knows the time of a request")
    last, best = (number_at(metrics, "training", name) for name in ("num_epochs", "best_epoch"))
    if last is not None and last == best and last == number_at(training, "arguments", "num_train_epochs"):
        advice.append("more `num_train_epochs`, as the last epoch was the best")
    advice.append("more time for `seqrec tune`" if metrics.get("tuning") else "`seqrec tune`")
    return advice


def value_at(value: Any, *keys: str) -> Any:
    """Return what nested mappings hold; None if there is nothing."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def number_at(value: Any, *keys: str) -> float | None:
    """Return the finite number that nested mappings hold; None for anything else."""
    found = value_at(value, *keys)
    is_number = isinstance(found, int | float) and not isinstance(found, bool) and math.isfinite(found)
    return found if is_number else None
