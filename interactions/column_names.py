"""Names of a table's columns, and ours.

The caller gives the table's names, or they are remembered from the table that a model was trained on.
"""

from collections.abc import Mapping, Sequence

import polars as pl

from seqrec.errors import InputError
from seqrec.interactions.one_line import one_line

__all__ = [
    "KNOWN_COLUMNS",
    "REQUIRED_COLUMNS",
    "choose_columns",
    "possible_columns",
    "remembered_columns",
    "rename_columns",
    "renamed",
]

REQUIRED_COLUMNS = ("user_id", "item_id", "timestamp")
KNOWN_COLUMNS = (*REQUIRED_COLUMNS, "rating", "click")

Names = Mapping[str, str] | None


def possible_columns(columns: Names, remembered: Names = None) -> dict[str, list[str]]:
    """List the columns that may hold each of ours, in order of preference.

    Args:
        columns: Maps our names to the table's, as given by the caller.
        remembered: The same for the table that a model was trained on; applies to names that `columns` leaves out.

    Raises:
        InputError: If `columns` is not a mapping of our names to text.
    """
    columns, remembered = require_mapping(columns), remembered or {}
    return {
        name: [columns[name]] if name in columns else list(dict.fromkeys([remembered.get(name, name), name]))
        for name in KNOWN_COLUMNS
    }


def require_mapping(columns: Names) -> Mapping[str, str]:
    """Return a mapping of our names to the table's; refuse anything else."""
    columns = {} if columns is None else columns
    example = 'Map our names to yours, such as {"user_id": "uid"}.'
    if not isinstance(columns, Mapping):
        raise InputError(f"`columns` is {one_line(repr(columns), 60)}, not a mapping. {example}")
    for name, own in columns.items():
        if name not in KNOWN_COLUMNS:
            raise InputError(
                f"`columns` maps {name!r}, which is not one of our columns ({', '.join(KNOWN_COLUMNS)}). {example}"
            )
        if not isinstance(own, str):
            raise InputError(f"`columns` maps {name!r} to {one_line(repr(own), 60)}, not to text. {example}")
    return columns


def choose_columns(present: Sequence[str], columns: Names, remembered: Names = None) -> dict[str, str]:
    """Map each of our columns to the table's; for arguments and errors, see `possible_columns`.

    Args:
        present: The table's columns.
        columns: Given names.
        remembered: Remembered names.

    Returns:
        Our name → the first possible column that the table has, or else the last one.
    """
    possible = possible_columns(columns, remembered)
    return {name: next((own for own in owns if own in present), owns[-1]) for name, owns in possible.items()}


def renamed(names: Mapping[str, str]) -> dict[str, str]:
    """Keep the columns of a mapping whose names differ from ours."""
    return {name: own for name, own in names.items() if own != name}


def remembered_columns(protocol: object) -> dict[str, str]:
    """Return the names that the protocol of a training or of a prepared set has of the table's columns.

    Anything else, as in a file that was edited by hand, is left out.
    """
    names = protocol.get("columns") if isinstance(protocol, Mapping) else None
    known = names.items() if isinstance(names, Mapping) else ()
    return {name: own for name, own in known if name in KNOWN_COLUMNS and isinstance(own, str) and own}


def rename_columns(table: pl.DataFrame, columns: Names = None, remembered: Names = None) -> pl.DataFrame:
    """Rename columns to our names; other columns follow unchanged. For arguments, see `possible_columns`.

    Raises:
        InputError: If a column is missing, or one that is not to be used has one of our names.
    """
    names = choose_columns(table.columns, columns, remembered)
    missing = [name for name in REQUIRED_COLUMNS if names[name] not in table.columns]
    missing += [name for name in ("rating", "click") if names[name] not in (name, *table.columns)]
    if missing:
        possible = possible_columns(columns, remembered)
        wanted = " and ".join(wording(name, possible[name]) for name in missing)
        near = [own for name in missing for own in possible[name]]
        flags = ", ".join(f"--{name}_column" for name in missing)
        raise InputError(
            f"The table has no column {wanted}. It has: {one_line(', '.join(table.columns))}. Use `columns` "
            f"({flags}) to name the right ones.{hint(table.columns, near)}"
        )
    present = {name: column for name, column in names.items() if column in table.columns}
    others = [column for column in table.columns if column not in present.values()]
    clashes = [column for column in others if column in present]
    if clashes:
        raise InputError(
            f"Column '{names[clashes[0]]}' is to be used as {clashes[0]}, but the table also has a column "
            f"named '{clashes[0]}'. Rename or remove one of them."
        )
    return table.select(**{name: pl.col(column) for name, column in present.items()}, **{c: c for c in others})


def wording(name: str, possible: Sequence[str]) -> str:
    """Name the columns that may hold one of ours: `'uid' (for user_id)`, or `'uid' (as in training) or 'user_id'`."""
    if len(possible) > 1:
        return f"'{possible[0]}' (as in training) or '{name}'"
    return f"'{name}'" if possible[0] == name else f"'{possible[0]}' (for {name})"


def hint(columns: Sequence[str], missing: Sequence[str]) -> str:
    """Guess why columns are missing: an unknown separator, or names that differ in spaces or capitals."""
    if len(columns) == 1:
        return " If these are several columns, separate them by commas, tabs or semicolons."
    near = [column for column in columns if column.strip().lower() in {name.strip().lower() for name in missing}]
    return f" Or rename {', '.join(map(repr, near))}: spaces and capitals matter." if near else ""
