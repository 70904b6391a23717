"""Split interactions into training, validation and test."""

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from seqrec.errors import InputError
from seqrec.interactions.interactions import sort_interactions

__all__ = [
    "PARTS",
    "Split",
    "at_even_steps",
    "by_cut_offs",
    "by_place",
    "divide",
    "leave_one_out",
    "log_newcomers",
    "newcomers",
    "num_latest",
    "require_fractions",
    "require_long_histories",
    "require_nonempty",
    "require_validation_users",
    "split_sha256",
    "temporal",
]

PARTS = ("train", "validation", "test")
SHORTEST_SPLIT = 3  # interactions of a user from whom leave-one-out holds some out
HASHED_ROWS = 2**16  # rows converted to text at once

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Split:
    """Interactions for training, and those held out for validation and test.

    All of a user's training interactions come before their validation ones, and those before their test ones.

    Attributes:
        interactions: An interactions table of N rows, sorted by user and time.
        part_N: Part of each row, as an index into `PARTS`: 0 for training, 1 for validation, 2 for test.
    """

    interactions: pl.DataFrame
    part_N: np.ndarray

    @classmethod
    def from_parts(cls, train: pl.DataFrame, validation: pl.DataFrame, test: pl.DataFrame) -> "Split":
        """Combine parts that were split elsewhere; the tables must have the same columns."""
        parts = [train, validation, test]
        table = sort_interactions(pl.concat([part.with_columns(part=index) for index, part in enumerate(parts)]))
        return cls(table.drop("part"), table["part"].to_numpy())

    @property
    def train(self) -> pl.DataFrame:
        """The training interactions, as a new table."""
        return self.rows_of(self.interactions, "train")

    @property
    def validation(self) -> pl.DataFrame:
        """The interactions held out for validation, as a new table."""
        return self.rows_of(self.interactions, "validation")

    @property
    def test(self) -> pl.DataFrame:
        """The interactions held out for test, as a new table."""
        return self.rows_of(self.interactions, "test")

    def rows_of(self, table: pl.DataFrame, part: str) -> pl.DataFrame:
        """Select the rows of one part from a table whose rows are in the order of `interactions`."""
        return table.filter(pl.Series(self.part_N == PARTS.index(part)))

    def sha256(self) -> str:
        """Hash the users and items of the three parts, in order, so that people can check that their splits are equal.

        Users are ordered by their ids as text, so that integer and text ids give the same hash.
        """
        ids = self.interactions.select(pl.col("user_id", "item_id").cast(pl.String), part=pl.Series(self.part_N))
        if self.interactions["user_id"].dtype != pl.String:
            ids = ids.sort("user_id", maintain_order=True)
        return split_sha256(np.bincount(self.part_N, minlength=3), lambda index: [ids.filter(part=index)])


def split_sha256(num_rows: Iterable[int], rows_of: Callable[[int], Iterable[pl.DataFrame]]) -> str:
    """Hash the users and items of the three parts of a split.

    Args:
        num_rows: The number of rows of each part.
        rows_of: Returns the rows of a part, given by its index in `PARTS`, as tables with `user_id` and `item_id`, both
            text, ordered by user and time.
    """
    digest = hashlib.sha256()
    for index, (name, count) in enumerate(zip(PARTS, num_rows, strict=True)):
        digest.update(f"{name} {count}\n".encode())
        for text in canonical_text(rows_of(index)):
            digest.update(text.encode())
    return digest.hexdigest()


def canonical_text(tables: Iterable[pl.DataFrame]) -> Iterator[str]:
    """Write users and items as text, different for different tables: the length in bytes precedes each id.

    Yields:
        The text of several rows at a time, with line breaks between rows.
    """
    parts = [part for id_ in (pl.col("user_id"), pl.col("item_id")) for part in (id_.str.len_bytes(), pl.lit(":"), id_)]
    separator = ""
    for ids in tables:
        for start in range(0, ids.height, HASHED_ROWS):
            yield separator
            yield ids.slice(start, HASHED_ROWS).select(pl.concat_str(parts).str.join("\n")).item()
            separator = "\n"


def leave_one_out(interactions: pl.DataFrame, *, validation_users: int | None = None) -> Split:
    """Hold out each user's last interaction for test and the second-to-last for validation.

    Users with fewer than 3 interactions stay in training with all of them.

    Args:
        interactions: An interactions table.
        validation_users: Number of users whose second-to-last interaction is held out, taken at even steps along the
            user ids, sorted as text; all users if None, or if there are no more. The other users' second-to-last
            interactions stay in training, as in the protocol of Petrov & Macdonald (RecSys 2022); with short histories
            this matters.

    Raises:
        InputError: If no user has 3 interactions, or `validation_users` is less than 1.
    """
    require_validation_users(validation_users)
    ordered = sort_interactions(interactions)
    lengths = ordered.group_by("user_id").len()
    users = lengths.filter(pl.col("len") >= SHORTEST_SPLIT)["user_id"]
    require_long_histories(len(users), len(lengths))
    return divide(ordered, by_place(None if validation_users is None else at_even_steps(users, validation_users)))


def require_validation_users(count: int | None) -> None:
    """Refuse a number of users that leaves nothing for validation."""
    if count is not None and count < 1:
        raise InputError(
            f"validation_users={count} leaves no data to select the best epoch with. Give at least 1, or leave it out "
            "for all users."
        )


def require_long_histories(num_long: int, num_users: int) -> None:
    """Refuse data without a user whose history is long enough to be split."""
    if num_long == 0:
        raise InputError(
            f"None of {num_users} users has the {SHORTEST_SPLIT} interactions that leave-one-out needs "
            "(one each for training, validation and test). Use data with longer histories."
        )


def by_place(validating: pl.Series | None) -> pl.Expr:
    """Return the part of each interaction by its place in its user's history, as leave-one-out does.

    Args:
        validating: The users whose second-to-last interaction is for validation; all with enough interactions if None.
    """
    length = pl.len().over("user_id")
    steps_to_end = length - pl.int_range(pl.len()).over("user_id")
    is_tested = length >= SHORTEST_SPLIT
    validates = is_tested if validating is None else pl.col("user_id").is_in(validating.implode())
    return pl.when(is_tested & (steps_to_end == 1)).then(2).when(validates & (steps_to_end == 2)).then(1).otherwise(0)


def at_even_steps(users: pl.Series, count: int) -> pl.Series:
    """Take `count` users, or all if there are fewer, at even steps along their ids, sorted as text."""
    in_order = users.gather(users.cast(pl.String).arg_sort())
    count = min(count, len(users))
    return in_order.gather(np.arange(count) * len(users) // count)


def temporal(interactions: pl.DataFrame, *, validation_fraction: float = 0.1, test_fraction: float = 0.1) -> Split:
    """Hold out the latest interactions of all users, by two cut-off times.

    All training interactions are earlier than all validation ones, and those earlier than all test ones. Interactions
    exactly at a cut-off fall after it, so the parts can be larger than requested. Held-out interactions that are the
    first of their user cannot be predicted from a history: they are counted in the log and stay in the parts, but
    `build_sequences` makes no rows of them.

    Args:
        interactions: An interactions table.
        validation_fraction: Fraction of the interactions for validation, between 0 and 1.
        test_fraction: Fraction of the interactions for test, between 0 and 1.

    Raises:
        InputError: If the fractions leave nothing for training, or a part is empty.
    """
    require_fractions(validation_fraction, test_fraction)
    ordered = sort_interactions(interactions)
    times = ordered["timestamp"].sort()
    places = num_latest(len(times), validation_fraction, test_fraction)
    cut_offs = [times[-place] for place in places]
    split = divide(ordered, by_cut_offs(*cut_offs))
    require_nonempty(np.bincount(split.part_N, minlength=3), cut_offs)
    log_newcomers(*newcomers(split))
    return split


def require_fractions(validation_fraction: float, test_fraction: float) -> None:
    """Refuse fractions that leave nothing for a part."""
    if not (validation_fraction > 0 and test_fraction > 0 and validation_fraction + test_fraction < 1):
        raise InputError(
            f"validation_fraction={validation_fraction} and test_fraction={test_fraction} were given; each "
            "must be above 0, and their sum below 1."
        )


def num_latest(num_rows: int, validation_fraction: float, test_fraction: float) -> tuple[int, int]:
    """Return how many of the latest interactions are held out, and how many of these are for test, without ties."""
    held_out = max(1, round(num_rows * (validation_fraction + test_fraction)))
    return held_out, max(1, round(num_rows * test_fraction))


def by_cut_offs(validation_start: Any, test_start: Any) -> pl.Expr:
    """Return the part of each interaction by two cut-off times."""
    time = pl.col("timestamp")
    return pl.when(time < validation_start).then(0).when(time < test_start).then(1).otherwise(2)


def require_nonempty(num_rows: np.ndarray, cut_offs: Sequence[Any]) -> None:
    """Refuse a temporal split without training or validation interactions, given the sizes of its parts."""
    for index, name in enumerate(PARTS[:2]):
        if num_rows[index] == 0:
            raise InputError(
                f"The temporal split leaves nothing for {name}: too few of the {num_rows.sum()} interactions are "
                f"before the cut-off at {cut_offs[index]}. Change the fractions, or use leave-one-out."
            )


def divide(ordered: pl.DataFrame, part: pl.Expr) -> Split:
    """Divide a sorted table by an expression that is 0 for training, 1 for validation and 2 for test."""
    return Split(ordered, ordered.select(part=part.cast(pl.Int8))["part"].to_numpy())


def newcomers(split: Split) -> tuple[int, int]:
    """Count the held-out interactions that are the first of their user, and all held-out ones."""
    is_first_N = split.interactions["user_id"].rle_id().diff().fill_null(1).to_numpy() > 0
    is_held_out_N = split.part_N > 0
    return int(np.count_nonzero(is_first_N & is_held_out_N)), int(np.count_nonzero(is_held_out_N))


def log_newcomers(count: int, num_held_out: int) -> None:
    """Log how many held-out interactions are the first of their user."""
    if count:
        logger.warning(
            "%d of %d held-out interactions are the first of their user. Without a history, they are not evaluated.",
            count,
            num_held_out,
        )
