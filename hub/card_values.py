"""The values of `metrics.json` that a card uses. Values of the wrong type are left out."""

import math
from collections.abc import Callable, Mapping
from typing import Any

__all__ = [
    "defaults_of",
    "is_count",
    "is_known",
    "is_share",
    "is_text",
    "mapping",
    "protocol_of",
    "training_of",
    "tuning_of",
]

MAX_SECONDS = 10**10


def is_text(value: Any) -> bool:
    """Return whether a value is text and not blank."""
    return isinstance(value, str) and bool(value.strip())


def is_known(value: Any) -> bool:
    """Return whether a value is a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 1e300 and math.isfinite(value)


def is_count(value: Any) -> bool:
    """Return whether a value is a count: a non-negative integer."""
    return is_known(value) and isinstance(value, int) and value >= 0


def is_share(value: Any) -> bool:
    """Return whether a value is a number from 0 to 1."""
    return is_known(value) and 0 <= value <= 1


def is_positive(value: Any) -> bool:
    """Return whether a value is a plausible amount of seconds, epochs or kWh."""
    return is_known(value) and 0 <= value < MAX_SECONDS


def is_flag(value: Any) -> bool:
    """Return whether a value is true or false."""
    return isinstance(value, bool)


def is_period(value: Any) -> bool:
    """Return whether a value is a pair of a first and a last day."""
    return isinstance(value, list) and len(value) == 2 and all(map(is_text, value))


def is_request_time(value: Any) -> bool:
    """Return whether a value says what a model knows of the time of a request."""
    return value in ("last_event", "target")


def is_windows(value: Any) -> bool:
    """Return whether a value is a list of numbers of days."""
    return isinstance(value, list) and bool(value) and all(map(is_count, value))


Kinds = Mapping[str, Callable[[Any], bool]]

PROTOCOL: Kinds = {
    **dict.fromkeys(("dataset", "dataset_terms", "split_sha256", "split_method", "duplicates"), is_text),
    **dict.fromkeys(("num_interactions", "num_users", "num_items", "validation_users"), is_count),
    **dict.fromkeys(("min_user_interactions", "min_item_interactions"), is_count),
    **dict.fromkeys(("density", "validation_fraction", "test_fraction"), is_share),
    **dict.fromkeys(("exclude_seen", "dataset_is_on_hub"), is_flag),
    "period": is_period,
    "request_time": is_request_time,
    "popularity_windows": is_windows,
}
TRAINING: Kinds = {
    **dict.fromkeys(("license", "base_model", "command", "hardware"), is_text),
    **dict.fromkeys(("seconds", "num_epochs", "best_epoch"), is_positive),
    "resumed": is_flag,
}
TUNING: Kinds = {"num_trials": is_count, "metric": is_text, "best": is_known, "defaults": is_known}
ENERGY: Kinds = {"kwh": is_positive, "assumption": is_text}


def protocol_of(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return how the data were filtered and split."""
    return of_kind(metrics.get("protocol"), PROTOCOL)


def training_of(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return how the model was trained."""
    given = metrics.get("training")
    found = of_kind(given, TRAINING)
    for name in ("versions", "arguments"):
        values = mapping(mapping(given).get(name))
        if values:
            found[name] = {key: value for key, value in values.items() if isinstance(value, str | int | float)}
    energy = of_kind(mapping(given).get("estimated_energy"), ENERGY)
    if energy.keys() == ENERGY.keys():
        found["estimated_energy"] = energy
    return found


def tuning_of(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return how the settings were found, if a search found them."""
    found = of_kind(metrics.get("tuning"), TUNING)
    return found if found.keys() >= {"num_trials", "metric", "best"} else {}


def defaults_of(metrics: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the settings that were chosen for a reason, as `name value`, by that reason."""
    given = mapping(metrics.get("defaults"))
    settings = mapping(given.get("settings"))
    found: dict[str, list[str]] = {}
    for name, reason in mapping(given.get("reasons")).items():
        value = settings.get(name)
        if is_text(reason) and (value is None or isinstance(value, str | int | float)):
            found.setdefault(reason, []).append(f"{name} {str(value).lower()}")
    return found


def of_kind(given: Any, kinds: Kinds) -> dict[str, Any]:
    """Keep the entries of the right type."""
    return {name: value for name, value in mapping(given).items() if name in kinds and kinds[name](value)}


def mapping(value: Any) -> Mapping[str, Any]:
    """Return a mapping unchanged, or an empty one for any other value."""
    return value if isinstance(value, Mapping) else {}
