"""What an event adds to a model's input beside its item, such as the device that was used.

Shape suffixes: B batch, L length, D hidden size.
"""

from typing import Any, ClassVar, TypeVar

from torch import Tensor, nn

from seqrec.errors import InputError
from seqrec.interactions.events import EventColumn, register_event_column


class EventPart(nn.Module):
    """Vectors of one column's values, summed into the input.

    A subclass has a `column`, by whose name `config.context_columns` asks for it. The sum of an event's vectors is
    scaled by √D as items are.

    Args:
        config: The model's configuration.
    """

    column: ClassVar[EventColumn]

    def __init__(self, config: Any) -> None:
        super().__init__()

    def forward(self, values_BL: Tensor) -> Tensor:
        """Return a vector (B, L, D) of each event's value."""
        raise NotImplementedError(f"{type(self).__name__} needs a method forward(values_BL).")


EVENT_PARTS: dict[str, type[EventPart]] = {}
Part = TypeVar("Part", bound=type[EventPart])


def register_event_part(part: Part) -> Part:
    """Make a class of event parts known by its column's name, and the column itself; to be used as a decorator.

    Raises:
        InputError: If the name has another meaning, or another class has it.
    """
    column = register_event_column(part.column)
    if column.name == "input_ids" or hasattr(nn.ModuleDict, column.name):
        raise InputError(f"An event part cannot read the column {column.name!r}: take another name.")
    if EVENT_PARTS.setdefault(column.name, part) is not part:
        other = EVENT_PARTS[column.name].__qualname__
        raise InputError(f"There is another event part for {column.name!r}, {other}. Rename one of the columns.")
    return part


def event_part(name: str) -> type[EventPart]:
    """Look a class of event parts up by its column's name.

    Raises:
        InputError: If none of that name is registered.
    """
    if name not in EVENT_PARTS:
        raise InputError(
            f"No event part {name!r} is registered (config.context_columns). Import the module that registers it, or "
            "load the model with trust_remote_code=True where it was saved with its code."
        )
    return EVENT_PARTS[name]


def make_event_parts(config: Any) -> nn.ModuleDict:
    """Make the parts that a configuration asks for, by their columns' names."""
    return nn.ModuleDict({name: event_part(name)(config) for name in config.context_columns})


def sum_events(parts: nn.ModuleDict, items_BLD: Tensor, columns: dict[str, Tensor]) -> Tensor:
    """Add the vectors of an event's columns to those of its item.

    Raises:
        InputError: If a column is missing.
    """
    for name, part in parts.items():
        if columns.get(name) is None:
            raise InputError(
                f"The model reads the column {name!r} of each event, which was not given. Pass {name}=, a tensor "
                "(B, L) aligned with input_ids."
            )
        items_BLD = items_BLD + part(columns[name])
    return items_BLD


def refuse_unread_columns(parts: nn.ModuleDict, columns: dict[str, Tensor]) -> None:
    """Raise an `InputError` for columns that no part reads."""
    unread = sorted(columns.keys() - parts.keys())
    if unread:
        raise InputError(
            f"The model does not read the column {unread[0]!r} of events, only {', '.join(('input_ids', *parts))}. "
            "Leave it out."
        )
