"""Splits that the authors of public data sets have published, by cut-off times."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from seqrec.errors import InputError
from seqrec.interactions.data_arguments import DataArguments
from seqrec.interactions.interactions import sort_interactions
from seqrec.interactions.public_names import AMAZON, YAMBDA, parse_public_name
from seqrec.interactions.splitting import PARTS, Split, by_cut_offs, divide, log_newcomers, newcomers
from seqrec.interactions.yambda import ORIGIN

__all__ = ["CutOffs", "official_cut_offs", "official_split", "outside_gaps", "require_all_parts"]


@dataclass(frozen=True)
class CutOffs:
    """When validation and test begin, and how long before them nothing counts, in the unit of the data set's times."""

    validation_start: int
    test_start: int
    gap: int = 0

    @property
    def starts(self) -> tuple[int, int]:
        """When validation and test begin."""
        return self.validation_start, self.test_start

    def is_kept(self) -> pl.Expr:
        """Return whether interactions are outside the gaps."""
        time = pl.col("timestamp")
        in_gap = [(time >= start - self.gap) & (time < start) for start in self.starts]
        return ~pl.any_horizontal(in_gap)


# Yambda's Global Temporal Split, as in its benchmark's code: training ends a gap before validation, and that a gap
# before test; both last a day.
YAMBDA_DAY, YAMBDA_GAP, YAMBDA_END = 86_400, 1_800, ORIGIN + 26_000_000
YAMBDA_TEST = YAMBDA_END - YAMBDA_DAY
YAMBDA_CUT_OFFS = CutOffs(YAMBDA_TEST - YAMBDA_GAP - YAMBDA_DAY, YAMBDA_TEST, YAMBDA_GAP)

# The split "timestamp" of Amazon Reviews 2023, in milliseconds: 8 : 1 : 1 of the reviews of all categories.
AMAZON_CUT_OFFS = CutOffs(1_628_643_414_042, 1_658_002_729_837)


def official_cut_offs(dataset: str | None) -> CutOffs:
    """Return the published cut-offs of a data set: Yambda's Global Temporal Split, or that of Amazon Reviews 2023.

    Raises:
        InputError: If it has none.
    """
    name = parse_public_name(dataset)
    if name is not None and name.set in YAMBDA:
        return YAMBDA_CUT_OFFS
    if name is not None and name.set == AMAZON:
        return AMAZON_CUT_OFFS
    raise InputError(
        f"split_method='official' needs one of {', '.join((*YAMBDA, AMAZON))}, not {dataset!r}. Choose leave_one_out "
        "or temporal."
    )


def outside_gaps(arguments: DataArguments) -> pl.Expr | None:
    """Return the condition that the official split makes on interactions; None for a split without gaps.

    Raises:
        InputError: See `official_cut_offs`.
    """
    if arguments.split_method != "official":
        return None
    cut_offs = official_cut_offs(arguments.dataset)
    return cut_offs.is_kept() if cut_offs.gap else None


def official_split(interactions: pl.DataFrame, dataset: str | None) -> Split:
    """Split a public data set as its authors do.

    Held-out interactions that are the first of their user are not evaluated.

    Args:
        interactions: An interactions table of the data set, without the gaps (see `outside_gaps`).
        dataset: Its name.

    Raises:
        InputError: If it has no published split, or a part is empty.
    """
    split = divide(sort_interactions(interactions), by_cut_offs(*official_cut_offs(dataset).starts))
    require_all_parts(np.bincount(split.part_N, minlength=len(PARTS)), dataset)
    log_newcomers(*newcomers(split))
    return split


def require_all_parts(num_rows: np.ndarray, dataset: str | None) -> None:
    """Refuse an official split with an empty part, given the sizes of its parts."""
    for name, count in zip(PARTS, num_rows, strict=True):
        if count == 0:
            raise InputError(
                f"The official split of '{dataset}' leaves nothing for {name}, of {num_rows.sum()} interactions. "
                "Choose leave_one_out or temporal, or weaker filters."
            )
