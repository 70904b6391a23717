"""Configurations that check their fields, with one-line errors that name the field and the problem."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from huggingface_hub.dataclasses import strict
from huggingface_hub.errors import StrictDataclassError, StrictDataclassFieldValidationError

from seqrec.configuration.config_fields import documentation
from seqrec.errors import InputError

__all__ = ["shown", "strict_config"]

MAX_SHOWN = 60

Config = TypeVar("Config")


def strict_config(cls: type[Config]) -> type[Config]:
    """Check a configuration's fields as `huggingface_hub.dataclasses.strict` does, with one-line `InputError`s.

    The fields are added to the docstring of the class.
    """
    cls = strict(cls)
    set_field = cls.__setattr__

    def set_checked_field(self: Any, name: str, value: Any) -> None:
        try:
            set_field(self, name, value)
        except StrictDataclassFieldValidationError as error:
            kind = type(self).__dataclass_fields__[name].type
            expected = kind if not isinstance(kind, type) else kind.__name__
            raise InputError(f"{name} must be {readable(expected)}, but is {shown(value)}.") from error

    cls.__setattr__ = set_checked_field  # type: ignore[method-assign]
    cls.__init__ = in_one_line(cls.__init__)  # type: ignore[method-assign]
    cls.validate = in_one_line(cls.validate)  # type: ignore[attr-defined]
    cls.__doc__ = f"{inspect.cleandoc(cls.__doc__ or '')}\n\n{documentation(cls)}"
    return cls


def in_one_line(function: Callable) -> Callable:
    """Turn a `StrictDataclassError` into an `InputError` with the message of its cause."""

    @wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except StrictDataclassError as error:
            raise InputError(" ".join(str(error.__cause__ or error).split())) from error

    return checked


def readable(kind: Any) -> str:
    """Format a field's type for people: `int | None` as it is, `Literal["a", "b"]` as one of 'a', 'b'."""
    arguments = getattr(kind, "__args__", ())
    if str(kind).startswith("typing.Literal"):
        return f"one of {', '.join(map(repr, arguments))}"
    return str(kind).replace("NoneType", "None")


def shown(value: Any) -> str:
    """Format a value, and truncate a long one."""
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}…"
