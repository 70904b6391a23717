"""Split interactions into training, validation and test."""

import hashlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from seqrec.errors import InputError
from seqrec.interactions.interactions import sort_interactions

__all__ = ["PARTS", "Split", "leave_one_out", "temporal"]

PARTS = ("train", "validation", "test")
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
        digest = hashlib.sha256()
        for index, name in enumerate(PARTS):
            rows = ids.filter(part=index)
            digest.update(f"{name} {rows.height}\n".encode())
            for text in canonical_text(rows):
                digest.update(text.encode())
        return digest.hexdigest()


def canonical_text(ids: pl.DataFrame) -> Iterator[str]:
    """Write users and items as text, different for different tables: the length in bytes precedes each id.

    Yields:
        The text of several rows at a time, with line breaks between rows.
    """
    parts = [part for id_ in (pl.col("user_id"), pl.col("item_id")) for part in (id_.str.len_bytes(), pl.lit(":"), id_)]
    for start in range(0, ids.height, HASHED_ROWS):
        yield "\n" * (start > 0)
        yield ids.slice(start, HASHED_ROWS).select(pl.concat_str(parts).str.join("\n")).item()


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
    if validation_users is not None and validation_users < 1:
        raise InputError(
            f"validation_users={validation_users} leaves no data to select the best epoch with. Give at least 1, "
            "or leave it out for all users."
        )
    ordered = sort_interactions(interactions)
    lengths = ordered.group_by("user_id").len()
    users = lengths.filter(pl.col("len") >= 3)["user_id"]
    if users.is_empty():
        raise InputError(
            f"None of {len(lengths)} users has the 3 interactions that leave-one-out needs "
            "(one each for training, validation and test). Use data with longer histories."
        )
    steps_to_end = pl.len().over("user_id") - pl.int_range(pl.len()).over("user_id")
    is_tested = pl.col("user_id").is_in(users.implode())
    validates = pl.col("user_id").is_in(at_even_steps(users, validation_users or len(users)).implode())
    part = pl.when(is_tested & (steps_to_end == 1)).then(2).when(validates & (steps_to_end == 2)).then(1).otherwise(0)
    return divide(ordered, part)


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
    if not (validation_fraction > 0 and test_fraction > 0 and validation_fraction + test_fraction < 1):
        raise InputError(
            f"validation_fraction={validation_fraction} and test_fraction={test_fraction} were given; each "
            "must be above 0, and their sum below 1."
        )
    ordered = sort_interactions(interactions)
    times = ordered["timestamp"].sort()
    validation_start = times[-max(1, round(len(times) * (validation_fraction + test_fraction)))]
    test_start = times[-max(1, round(len(times) * test_fraction))]
    time = pl.col("timestamp")
    part = pl.when(time < validation_start).then(0).when(time < test_start).then(1).otherwise(2)
    split = divide(ordered, part)
    for index, name in enumerate(PARTS[:2]):
        if not (split.part_N == index).any():
            cut_off = test_start if name == "validation" else validation_start
            raise InputError(
                f"The temporal split leaves nothing for {name}: too few of the {ordered.height} interactions are "
                f"before the cut-off at {cut_off}. Change the fractions, or use leave-one-out."
            )
    log_newcomers(split)
    return split


def divide(ordered: pl.DataFrame, part: pl.Expr) -> Split:
    """Divide a sorted table by an expression that is 0 for training, 1 for validation and 2 for test."""
    return Split(ordered, ordered.select(part=part.cast(pl.Int8))["part"].to_numpy())


def log_newcomers(split: Split) -> None:
    """Log how many held-out interactions are the first of their user."""
    is_first_N = split.interactions["user_id"].rle_id().diff().fill_null(1).to_numpy() > 0
    is_held_out_N = split.part_N > 0
    count = np.count_nonzero(is_first_N & is_held_out_N)
    if count:
        logger.warning(
            "%d of %d held-out interactions are the first of their user. Without a history, they are not evaluated.",
            count,
            np.count_nonzero(is_held_out_N),
        )
