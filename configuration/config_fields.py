"""Fields of a configuration: each declares its purpose next to its default.

The purposes determine which fields a model's scores depend on, which only training reads, which a card shows, and which
are flags of the command line.
"""

from collections.abc import Iterable
from dataclasses import Field, field, fields
from textwrap import fill
from typing import Any, Literal

from transformers import PreTrainedConfig

__all__ = [
    "SCORING",
    "TRAINING",
    "Purpose",
    "default_of",
    "documentation",
    "help_of",
    "names_for",
    "option",
    "own_fields",
    "purpose_of",
]

Purpose = Literal[
    "data",  # a size that the data determine
    "architecture",
    "parts",  # what items and events consist of: columns of the data, and registered parts
    "numerics",  # affects scores too, but is rarely changed
    "loss",
    "sampling",  # of negatives
    "calibration",  # of the gbce loss
    "training",
    "initialization",
    "special_token",  # the same for every model
]
SCORING: tuple[Purpose, ...] = (
    "data",
    "architecture",
    "parts",
    "numerics",
)  # they determine the scores of given weights
TRAINING: tuple[Purpose, ...] = ("loss", "sampling", "calibration", "training")  # fine-tuning may change these
WIDTH = 118


def option(default: Any, purpose: Purpose, help: str) -> Any:
    """Declare a field: its default, its purpose, and the sentence that documents it."""
    metadata = {"purpose": purpose, "help": help}
    if isinstance(default, list | dict):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


def purpose_of(declared: Field) -> Purpose:
    """Return the purpose of a field; one declared without `option` belongs to the architecture."""
    return declared.metadata.get("purpose", "architecture")


def help_of(declared: Field) -> str:
    """Return the sentence that documents a field."""
    return declared.metadata.get("help", "")


def own_fields(config: Any) -> list[Field]:
    """List the fields of a configuration, or of its class, without those of the library."""
    library = {declared.name for declared in fields(PreTrainedConfig)}
    return [declared for declared in fields(config) if declared.name not in library]


def names_for(config: Any, purposes: Iterable[Purpose]) -> frozenset[str]:
    """Return the names of the fields of a configuration, or of its class, that have one of the purposes."""
    wanted = set(purposes)
    return frozenset(declared.name for declared in own_fields(config) if purpose_of(declared) in wanted)


def default_of(declared: Field) -> Any:
    """Return a field's default; for a list or a dictionary, a copy."""
    return declared.default_factory() if callable(declared.default_factory) else declared.default


def documentation(config_class: type) -> str:
    """Format the fields of a configuration class as the `Args` section of its docstring."""
    entries = [f"{declared.name}: {help_of(declared)}" for declared in own_fields(config_class) if help_of(declared)]
    lines = [fill(entry, WIDTH, initial_indent=" " * 4, subsequent_indent=" " * 8) for entry in entries]
    return "\n".join(["Args:", *lines, ""])
