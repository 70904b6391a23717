"""Binary labels derived from a table's columns, such as `like=rating>=4`."""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import isfinite
from typing import Any

import polars as pl

from seqrec.errors import InputError
from seqrec.interactions.column_names import REQUIRED_COLUMNS
from seqrec.interactions.events import EVENT_COLUMNS, RESERVED_NAMES
from seqrec.interactions.label_columns import is_label
from seqrec.interactions.label_names import RATING
from seqrec.interactions.one_line import one_line

__all__ = ["Derivation", "derivation_texts", "derive_labels", "parse_derivation", "remembered_derivations"]

OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}
FORM = re.compile(r"\s*(?P<name>[^=<>]*?)\s*=\s*(?P<column>[^=<>!]*?)\s*(?P<sign>[=<>!]+)\s*(?P<number>[^=<>!]*?)\s*")
EXAMPLE = "Write it as NAME=COLUMN OP NUMBER, such as 'like=rating>=4'."


@dataclass(frozen=True)
class Derivation:
    """A binary label that says whether a column's value fulfils a condition.

    Attributes:
        name: Name of the label.
        column: The column that it is derived from, after columns were renamed to ours.
        sign: A key of `OPERATORS`.
        number: The number that values are compared with.
    """

    name: str
    column: str
    sign: str
    number: float

    def label(self, table: pl.DataFrame) -> pl.Expr:
        """Return an expression of the label: 1 or 0, and null where the column has no value.

        Raises:
            InputError: If the table lacks the column, it holds no numbers, or the table already has the label.
        """
        if self.name in table.columns:
            raise InputError(
                f"derive makes a column '{self.name}', but the table already has one. Choose another name, or leave "
                "derive out to use the table's."
            )
        if self.column not in table.columns:
            raise InputError(
                f"derive makes '{self.name}' from the column '{self.column}', but the table has only "
                f"{', '.join(table.columns)}. Name one of them."
            )
        dtype = table.schema[self.column]
        if not (dtype.is_numeric() or dtype == pl.Boolean):
            raise InputError(
                f"derive makes '{self.name}' from the column '{self.column}', whose type is {dtype}. Choose a column "
                "of numbers, or convert it."
            )
        values = pl.col(self.column).cast(pl.Float64).fill_nan(None)  # NaN would be above all numbers
        return OPERATORS[self.sign](values, self.number).cast(pl.Int8).alias(self.name)


def derivation_texts(derive: Mapping[str, str] | Sequence[str] | str | None) -> list[str] | None:
    """Return derivations as a list of texts, such as `["like=rating>=4"]`; None without any.

    Args:
        derive: Such a list or text, or a mapping, such as `{"like": "rating>=4"}`.

    Raises:
        InputError: If it is anything else, a text does not have the form NAME=COLUMN OP NUMBER, or two have the same
            name.
    """
    texts = [derive] if isinstance(derive, str) else derive
    if isinstance(texts, Mapping):
        texts = [f"{name}={condition}" for name, condition in texts.items()]
    if not isinstance(texts, list | tuple | None):
        raise InputError(f"derive is {one_line(repr(derive), 60)}. Map names to conditions: {{'like': 'rating>=4'}}.")
    names = [parse_derivation(text).name for text in texts or ()]
    if repeated := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"derive makes '{repeated}' twice. Leave one out.")
    return [*texts] if texts else None


def parse_derivation(text: Any) -> Derivation:
    """Parse a derivation, such as `like=rating>=4`.

    Raises:
        InputError: If it does not have the form NAME=COLUMN OP NUMBER, or the name cannot be that of a binary label.
    """
    given = one_line(repr(text), 60)
    found = FORM.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise InputError(f"derive={given} is not a condition on a column. {EXAMPLE}")
    name, column, sign, number = found.groups()
    if sign not in OPERATORS:
        raise InputError(f"derive={given} compares by {sign!r}. Use one of {', '.join(OPERATORS)}. {EXAMPLE}")
    if not column:
        raise InputError(f"derive={given} names no column between '=' and {sign!r}. {EXAMPLE}")
    require_name(name, given)
    return Derivation(name, column, sign, as_number(number, given))


def require_name(name: str, given: str) -> None:
    """Refuse a name that no binary label can have."""
    is_other_column = name in EVENT_COLUMNS and not is_label(name)
    if not name.isidentifier() or name in {*RESERVED_NAMES, *REQUIRED_COLUMNS, RATING} or is_other_column:
        raise InputError(
            f"derive={given} makes {name!r}, which cannot be the name of a binary label. Choose another word without "
            "spaces, such as like."
        )


def as_number(text: str, given: str) -> float:
    """Read a finite number."""
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not isfinite(number):
        raise InputError(f"derive={given} compares with {text!r}, which is not a number. {EXAMPLE}")
    return number


def remembered_derivations(protocol: object, names: Sequence[str], present: Sequence[str]) -> list[str]:
    """Return those derivations of a training that a table lacks, but has the numbers for.

    Args:
        protocol: The protocol of the training; what was edited by hand and cannot be read is left out.
        names: The labels that the model reads.
        present: The table's columns.
    """
    texts = protocol.get("derive") if isinstance(protocol, Mapping) else None
    found = []
    for text in texts if isinstance(texts, list) else ():
        with suppress(InputError):
            one = parse_derivation(text)
            if one.name in names and one.name not in present and one.column in present:
                found.append(text)
    return found


def derive_labels(interactions: pl.DataFrame, texts: Sequence[str] | None) -> pl.DataFrame:
    """Add derived labels to a table, which keeps its other columns; missing values stay missing.

    Raises:
        InputError: See `parse_derivation` and `Derivation.label`.
    """
    return interactions.with_columns([parse_derivation(text).label(interactions) for text in texts or ()])
