"""Refuse histories whose times a model cannot read."""

from collections.abc import Collection, Sequence

from seqrec.errors import InputError
from seqrec.interactions.histories import Histories
from seqrec.interactions.seconds import are_seconds, numbers_given

__all__ = ["require_request_times", "require_seconds"]


def require_seconds(histories: Histories, columns: Sequence[str]) -> None:
    """Refuse timestamps that are not seconds since 1970, such as positions, for a model that reads times.

    Args:
        histories: The histories.
        columns: Event columns that the model reads; without `timestamps`, nothing is checked.

    Raises:
        InputError: If a timestamp lies outside the years 1990 to 2100.
    """
    if "timestamps" not in columns:
        return
    times_N = histories.columns["timestamps"]
    if not are_seconds(times_N):
        raise InputError(
            f"The model reads `timestamps` as seconds since 1970, but in these histories {numbers_given(times_N)}"
        )


def require_request_times(row_columns: Collection[str], columns: Sequence[str]) -> None:
    """Refuse held-out rows without the time of their request, for a model that is told it.

    Args:
        row_columns: Names of the rows' columns.
        columns: Event columns that the model reads; without `request_times`, nothing is checked.

    Raises:
        InputError: If the rows have no `target_timestamp`.
    """
    if "request_times" in columns and "target_timestamp" not in row_columns:
        raise InputError(
            "The model is told when each target is asked for (request_time='target'), but the rows have no "
            "target_timestamp. Add it, in seconds since 1970."
        )
