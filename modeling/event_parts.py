"""Event parts add further columns of an event, such as the device used, to a model's input.

Shape suffixes: B batch, L length, D hidden size.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, TypeVar

from torch import Tensor, nn

from seqrec.errors import InputError
from seqrec.interactions.events import EventColumn, register_event_column
from seqrec.modeling.past_labels import PastLabel
from seqrec.modeling.sequence_layout import SequenceLayout

__all__ = [
    "EVENT_PARTS",
    "EventPart",
    "event_times",
    "make_event_parts",
    "refuse_unread_columns",
    "register_event_part",
    "sum_events",
]


class EventPart(nn.Module):
    """Embed the values of one column; the vectors are added to the input.

    A subclass sets `column`; `config.context_columns` selects parts by its name. The sum of an event's vectors,
    including its item's, is scaled by √D.

    Args:
        config: The model's configuration.
    """

    column: ClassVar[EventColumn]

    def __init__(self, config: Any) -> None:
        super().__init__()

    def forward(self, values_BL: Tensor) -> Tensor:
        """Return a vector for each event's value: (B, L, D)."""
        raise NotImplementedError(f"{type(self).__name__} needs a method forward(values_BL).")


EVENT_PARTS: dict[str, type[EventPart]] = {}
Part = TypeVar("Part", bound=type[EventPart])


def register_event_part(part: Part) -> Part:
    """Register a class of event parts by its column's name, and the column itself; use as a decorator.

    Raises:
        InputError: If the name is reserved, or another class has it.
    """
    column = part.column
    if column.name == "input_ids" or hasattr(nn.ModuleDict, column.name):
        raise InputError(f"An event part cannot read a column named {column.name!r}. Choose another name.")
    register_event_column(column)
    if EVENT_PARTS.setdefault(column.name, part) is not part:
        other = EVENT_PARTS[column.name].__qualname__
        raise InputError(f"Another event part, {other}, already reads {column.name!r}. Rename one of the columns.")
    return part


def event_part(name: str) -> type[EventPart]:
    """Return the class of event parts for a column's name.

    Raises:
        InputError: If no class is registered for it.
    """
    if name not in EVENT_PARTS:
        raise InputError(
            f"No event part is registered for {name!r} (config.context_columns). Import the module that registers it, "
            "or load the model with trust_remote_code=True if it was saved with its code."
        )
    return EVENT_PARTS[name]


def make_event_parts(config: Any) -> nn.ModuleDict:
    """Build the event parts that a configuration names, by column name, with those of past labels last."""
    parts: dict[str, nn.Module] = {name: event_part(name)(config) for name in config.context_columns}
    return nn.ModuleDict(parts | {name: PastLabel(config, name) for name in config.past_labels})


def sum_events(parts: nn.ModuleDict, items_BLD: Tensor, columns: dict[str, Tensor], layout: SequenceLayout) -> Tensor:
    """Add the vectors of the events' columns to those of their items.

    Raises:
        InputError: If a column is missing.
    """
    for name, part in parts.items():
        values_BL = required_column(columns, name)
        if isinstance(part, PastLabel):
            items_BLD = items_BLD + part(values_BL, required_column(columns, "input_ids"), layout)
        else:
            items_BLD = items_BLD + part(values_BL)
    return items_BLD


def event_times(read: Sequence[str], columns: dict[str, Tensor]) -> tuple[Tensor | None, Tensor | None]:
    """Return when events happened, and when the items after them are asked for; None for a model that reads no times.

    Args:
        read: Names of the columns that the model reads.
        columns: The events' columns (B, L).

    Returns:
        Seconds since 1970 (B, L) each, for `SequenceLayout`.

    Raises:
        InputError: If the model reads a column of times that is missing.
    """
    if "timestamps" not in read:
        return None, None
    timestamps_BL = required_column(columns, "timestamps")
    asked_BL = required_column(columns, "request_times") if "request_times" in read else timestamps_BL
    return timestamps_BL, asked_BL


def required_column(columns: dict[str, Tensor], name: str) -> Tensor:
    """Return an event column.

    Raises:
        InputError: If it is missing.
    """
    if columns.get(name) is None:
        raise InputError(
            f"The model reads the event column {name!r}, which was not given. Pass {name}=, a tensor (B, L) "
            "aligned with input_ids."
        )
    return columns[name]


def refuse_unread_columns(read: Sequence[str], columns: dict[str, Tensor]) -> None:
    """Raise an `InputError` for columns that the model does not read."""
    unread = sorted(columns.keys() - set(read))
    if unread:
        raise InputError(
            f"The model does not read the event column {unread[0]!r}, only {', '.join(read)}. Leave it out."
        )
