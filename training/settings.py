"""Sort settings, given by name, to the dataclasses that read them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

from seqrec.configuration.config_fields import TRAINING, Purpose, default_of, names_for, own_fields
from seqrec.errors import InputError
from seqrec.interactions.data_arguments import DataArguments
from seqrec.interactions.one_line import one_line
from seqrec.modeling.modeling_auto import MODEL_TYPES
from seqrec.training.arguments import SequentialTrainingArguments

__all__ = ["NONE", "Settings", "sort_settings"]

# Fields of a configuration that people choose, by purpose; the data determine the others.
CHOSEN: tuple[Purpose, ...] = ("architecture", "numerics", "parts", *TRAINING, "initialization")
ARGUMENTS = {"dataset": "interactions", "items": "items", "output_dir": "output_dir"}  # of `seqrec.train` itself
NONE = "none"
NUMBERS: dict[Any, type | tuple[type, ...]] = {int: int, float: (int, float), bool: bool}
WORDS = {int: "a whole number", float: "a number", bool: "True or False", NoneType: "None"}


@dataclass(frozen=True)
class Settings:
    """Settings by the dataclass that reads them: `DataArguments`, `SequentialTrainingArguments`, the configuration."""

    data: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)


def sort_settings(settings: Mapping[str, Any], model_type: str) -> Settings:
    """Sort settings, given by name, to the dataclasses that read them.

    Args:
        settings: Name → value. The names are those of the flags of `seqrec train`. As in recipes, "none" may stand for
            None in fields of the configuration.
        model_type: The architecture, whose configuration reads some of them.

    Raises:
        InputError: If the architecture or a name is unknown, or a value is not of the field's type.
    """
    if model_type not in MODEL_TYPES:
        raise InputError(f"There is no model_type {model_type!r}. Choose one of: {', '.join(sorted(MODEL_TYPES))}.")
    classes = {"data": DataArguments, "training": SequentialTrainingArguments}
    places = {
        name: place for place, class_ in classes.items() for name in (one.name for one in fields(class_) if one.init)
    }
    places = {name: place for name, place in places.items() if name not in ARGUMENTS}
    # The data also describe `item_features`, from which the field of the configuration follows.
    places = dict.fromkeys(names_for(MODEL_TYPES[model_type], CHOSEN), "config") | places
    optional = {one.name for one in own_fields(MODEL_TYPES[model_type]) if default_of(one) is None}
    found = Settings()
    for name, value in settings.items():
        if name not in places:
            raise InputError(unknown(name, model_type, list(places)))
        value = value.item() if isinstance(value, np.generic) else value
        if value == NONE and name in optional:
            value = None
        if places[name] in classes:
            require_kind(name, value, get_type_hints(classes[places[name]])[name])
        getattr(found, places[name])[name] = value
    return found


def unknown(name: str, model_type: str, known: list[str]) -> str:
    """Say that there is no such setting, and what it may be instead."""
    if name in ARGUMENTS:
        return f"There is no setting {name!r}: it is the argument `{ARGUMENTS[name]}` of `seqrec.train`."
    owners = [other for other, class_ in MODEL_TYPES.items() if name in names_for(class_, CHOSEN)]
    if owners:
        return f"{name!r} is a setting of {', '.join(owners)}, not of {model_type}. Leave it out, or change model_type."
    near = get_close_matches(name, known, n=1)
    advice = f"Did you mean {near[0]!r}?" if near else "`seqrec train --help_all` lists them, as flags."
    return f"There is no setting {one_line(repr(name), 60)}. {advice}"


def require_kind(name: str, value: Any, kind: Any) -> None:
    """Refuse a value that is none of a field's choices or, for numbers and switches, not of its type."""
    if get_origin(kind) is Literal and value not in get_args(kind):
        raise InputError(f"{name}={value!r} is not one of: {', '.join(map(str, get_args(kind)))}.")
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    if not set(kinds) <= WORDS.keys():
        return  # text, lists, …, which the dataclass itself checks
    if not any(is_a(value, one) for one in kinds):
        raise InputError(
            f"{name}={one_line(repr(value), 60)} is not {' or '.join(WORDS[one] for one in kinds)}. Change its type."
        )


def is_a(value: Any, kind: type) -> bool:
    """Return whether a value is of a field's type; a whole number is a number too, but True is neither."""
    return isinstance(value, NUMBERS.get(kind, kind)) and (kind is bool or not isinstance(value, bool))
