"""Check the features of items that a configuration describes."""

from collections.abc import Mapping
from typing import Any

from seqrec.configuration.strict_config import shown
from seqrec.errors import InputError
from seqrec.interactions.category_codes import FIRST_VALUE

__all__ = ["require_item_features"]

# Entries of each kind, with their smallest and largest values.
ENTRIES: dict[str, dict[str, tuple[int, int]]] = {
    "category": {"size": (FIRST_VALUE, 2**31), "per_item": (1, 2**16)},
    "number": {},
    "vector": {"size": (1, 2**16)},
}


def require_item_features(features: Mapping[str, Mapping[str, Any]]) -> None:
    """Raise an `InputError` unless each feature is described by its kind and the entries of that kind."""
    for name, entries in features.items():
        if not name or name == "dtype":  # transformers would turn the entries of "dtype" into text
            raise InputError(f"item_features cannot name a feature {name!r}. Rename its column.")
        where = f"item_features[{shown(name)}]"
        kind = entries.get("kind")
        if not isinstance(kind, str) or kind not in ENTRIES:
            raise InputError(f"{where} must have a kind: {', '.join(ENTRIES)}. It is {shown(entries)}.")
        wanted = ENTRIES[kind]
        if entries.keys() != {"kind", *wanted}:
            also = f" and {', '.join(wanted)}" if wanted else " alone"
            raise InputError(f"{where} must have the entry kind{also}, as a {kind}, but is {shown(entries)}.")
        for entry, (smallest, largest) in wanted.items():
            value = entries[entry]
            if not isinstance(value, int) or isinstance(value, bool) or not smallest <= value <= largest:
                raise InputError(
                    f"{where}[{entry!r}] must be an integer from {smallest} to {largest}, but is {shown(value)}."
                )
