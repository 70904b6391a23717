"""Conditions on items, such as "year >= 1990 and 'Comedy' in genres".

Conditions are read by Python's parser and translated to polars; nothing is ever evaluated as Python.
"""

import ast
import operator
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

from seqrec.errors import InputError
from seqrec.interactions.category_features import find_separator, item_values
from seqrec.interactions.feature_values import LIST_TEXTS
from seqrec.interactions.one_line import one_line

__all__ = ["find_items"]

EXAMPLE = "\"year >= 1990 and 'Comedy' in genres\""
MOST_CHARACTERS = 2000
ORDERS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
LISTING_SEPARATORS = ("|", ";", LIST_TEXTS)  # text with commas may be a sentence


def find_items(where: str, items: pl.DataFrame) -> pl.Series:
    """Return which items meet a condition.

    A condition compares columns with numbers, texts, True and False (`==`, `!=`, `<`, `<=`, `>`, `>=`, also in chains
    such as `1990 <= year < 2000`), and joins comparisons by `and`, `or`, `not` and parentheses. `brand in ['a', 'b']`
    asks for one of several values. `'Comedy' in genres` asks whether a column that lists values, as lists or as text
    with "|" or ";", has this one; in other text, it asks for a part of the text. `year is None` asks for a missing
    value, which meets no other comparison (`not (year > 1990)` is true for it, `year <= 1990` is not). Times are
    compared with ISO text. Text is compared with numbers if most of its values are numbers; the others are then like
    missing ones. A column whose name is not a Python name is written `column('release year')`.

    Args:
        where: The condition.
        items: The items, one per row.

    Returns:
        A boolean for each row.

    Raises:
        InputError: If it is no such condition, a column does not exist, or types cannot be compared. It names the
            place.
    """
    if not isinstance(where, str) or not where.strip():
        raise InputError(
            f"`where` must be a condition on the items, such as {EXAMPLE}, got {one_line(repr(where), 60)}."
        )
    if len(where) > MOST_CHARACTERS:
        raise InputError(
            f"`where` has {len(where):,} characters, but at most {MOST_CHARACTERS:,} are read. Shorten it."
        )
    return Condition(where, items).rows()


class Condition:
    """A condition on the rows of a table."""

    def __init__(self, text: str, items: pl.DataFrame) -> None:
        self.text = text.replace("\n", " ").strip()
        self.items = items

    def rows(self) -> pl.Series:
        """Return which rows meet the condition."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SyntaxWarning)  # of "\d" in text, and of "1990and"
                tree = ast.parse(self.text, mode="eval")
        except SyntaxError as error:
            raise self.error_at((error.offset or len(self.text) + 1) - 1, error.msg) from None
        except (ValueError, RecursionError, MemoryError):
            raise self.error_at(0, "it has too many parentheses, or characters that are not text") from None
        try:
            return self.truth(tree.body)
        except RecursionError:
            raise self.error_at(0, "it has too many parts within each other") from None

    def truth(self, node: ast.expr) -> pl.Series:
        """Return for each row whether an expression is true."""
        match node:
            case ast.BoolOp(op=op, values=values):
                join = operator.and_ if isinstance(op, ast.And) else operator.or_
                found = self.truth(values[0])
                for value in values[1:]:
                    found = join(found, self.truth(value))
                return found
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return ~self.truth(operand)
            case ast.Compare(left=left, ops=comparisons, comparators=others):
                sides = [left, *others]
                found = self.comparison(sides[0], comparisons[0], sides[1])
                for place, comparison in enumerate(comparisons[1:], start=1):
                    found &= self.comparison(sides[place], comparison, sides[place + 1])
                return found
            case ast.Name() | ast.Call():
                column = self.column(node)
                if column.dtype != pl.Boolean:
                    raise self.error(node, f"{column.name!r} is not true or false; compare it with something")
                return column.fill_null(value=False)
            case _:
                raise self.error(node, "a comparison is expected here")

    def comparison(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> pl.Series:
        """Compare two sides, one of which is a column."""
        if isinstance(op, ast.Is | ast.IsNot):
            if not (isinstance(right, ast.Constant) and right.value is None):
                raise self.error(right, "'is' is only for None")
            missing = self.column(left).is_null()
            return missing if isinstance(op, ast.Is) else ~missing
        if isinstance(op, ast.In | ast.NotIn):
            found = self.membership(left, right)
            return (found if isinstance(op, ast.In) else ~found).fill_null(value=False)
        if is_column(left):
            return self.order(self.column(left), ORDERS[type(op)], right)
        if not is_column(right):
            raise self.error(left, "one side of a comparison must be a column")
        swapped = {ast.Lt: ast.Gt, ast.LtE: ast.GtE, ast.Gt: ast.Lt, ast.GtE: ast.LtE}.get(type(op), type(op))
        return self.order(self.column(right), ORDERS[swapped], left)

    def order(self, column: pl.Series, compare: Callable[[Any, Any], pl.Series], other: ast.expr) -> pl.Series:
        """Compare a column with a value or another column."""
        if is_column(other):
            value: Any = self.column(other)
        else:
            column = comparable(column, self.value(other))
            value = self.constant(other, column)
        try:
            return compare(column, value).fill_null(value=False)
        except (pl.exceptions.PolarsError, TypeError, NotImplementedError):
            raise self.error(other, f"{column.name!r} ({kind_of(column)}) cannot be compared with this") from None

    def membership(self, left: ast.expr, right: ast.expr) -> pl.Series:
        """Return where a column is one of several values, or where a value is in a column."""
        if isinstance(right, ast.List | ast.Tuple | ast.Set):
            column = self.column(left)
            for value in right.elts:
                column = comparable(column, self.value(value))
            return column.is_in(
                pl.Series([self.constant(value, column) for value in right.elts], dtype=column.dtype).implode()
            )
        column, value = self.column(right), self.value(left)
        if lists_values(column):
            pairs = item_values(column.name, column, find_separator(column))
            rows = pairs.filter(pl.col("value") == str(value))["row"]
            return pl.Series(np.isin(np.arange(len(column)), rows.to_numpy()))
        if column.dtype != pl.String or not isinstance(value, str):
            raise self.error(right, f"{column.name!r} ({kind_of(column)}) holds no lists and no text")
        return column.str.contains(value, literal=True)

    def constant(self, node: ast.expr, column: pl.Series) -> Any:
        """Return a value that a column can be compared with."""
        value = self.value(node)
        if value is None:
            raise self.error(node, "write 'is None' or 'is not None' for missing values")
        if column.dtype.is_temporal() and isinstance(value, str):
            return self.time(node, value, column.dtype)
        fits = isinstance(value, str) == (column.dtype == pl.String) or column.dtype == pl.Categorical
        if not fits or column.dtype.is_nested() or (isinstance(value, bool) != (column.dtype == pl.Boolean)):
            raise self.error(node, f"{column.name!r} ({kind_of(column)}) cannot be compared with this")
        return value

    def time(self, node: ast.expr, text: str, dtype: pl.DataType) -> Any:
        """Read a time as the type of a column."""
        try:
            times = pl.Series([text]).str.to_datetime(time_zone=getattr(dtype, "time_zone", None))
            return times.cast(dtype)[0]
        except pl.exceptions.PolarsError:
            example = "'2026-01-31' or '2026-01-31T12:00'"
            raise self.error(node, f"this is no time; write times as in {example}") from None

    def value(self, node: ast.expr) -> Any:
        """Return a number, a text, True, False or None."""
        match node:
            case ast.Constant(value=str() | int() | float() | None as value):
                return value
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
                return -value
            case _:
                raise self.error(node, "a number, a text, True or False is expected here")

    def column(self, node: ast.expr) -> pl.Series:
        """Return a column of the items."""
        match node:
            case ast.Name(id=name):
                pass
            case ast.Call(func=ast.Name(id="column"), args=[ast.Constant(value=str() as name)], keywords=[]):
                pass
            case _:
                raise self.error(node, "a column of the items is expected here")
        if name not in self.items.columns:
            raise self.error(node, f"the items have no column {name!r}; they have {', '.join(self.items.columns)}")
        return self.items[name]

    def error(self, node: ast.expr, problem: str) -> InputError:
        """Return an error that points at an expression."""
        return self.error_at(len(self.text.encode()[: node.col_offset].decode()), problem)

    def error_at(self, place: int, problem: str) -> InputError:
        """Return an error that points at a character."""
        near = repr(self.text[place : place + 20]) if place < len(self.text) else "its end"
        return InputError(
            f"`where` cannot be read at character {place + 1} ({one_line(near, 40)}): {one_line(problem, 200)}. "
            f"Write a condition such as {EXAMPLE}."
        )


def comparable(column: pl.Series, value: Any) -> pl.Series:
    """Return a column of text as numbers if it is compared with a number and most of its values are numbers."""
    if not isinstance(column.dtype, pl.String) or isinstance(value, bool) or not isinstance(value, int | float):
        return column
    numbers = column.str.strip_chars().cast(pl.Float64, strict=False)
    num_others = numbers.null_count() - column.null_count()
    return column if 2 * num_others >= len(column) - column.null_count() else numbers


def is_column(node: ast.expr) -> bool:
    """Return whether an expression stands for a column."""
    return isinstance(node, ast.Name | ast.Call)


def lists_values(column: pl.Series) -> bool:
    """Return whether a column holds lists, or text that lists values."""
    is_text = column.dtype == pl.String and column.name != "title"
    return column.dtype.is_nested() or (is_text and find_separator(column) in LISTING_SEPARATORS)


def kind_of(column: pl.Series) -> str:
    """Describe the type of a column."""
    if column.dtype.is_numeric():
        return "numbers"
    if column.dtype.is_temporal():
        return "times"
    return {pl.String: "text", pl.Boolean: "true or false"}.get(type(column.dtype), str(column.dtype))
