"""A command-line parser whose flags are the fields of dataclasses."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from transformers import HfArgumentParser

from seqrec.cli.parsers import FlagParser, finite_number
from seqrec.errors import InputError

__all__ = ["DataclassParser"]


class DataclassParser(FlagParser, HfArgumentParser):
    """A `FlagParser` for the fields of dataclasses."""

    def parse_all(self, argv: Sequence[str]) -> tuple[Any, ...]:
        """Parse into the dataclasses, and a namespace of the other flags.

        Raises:
            InputError: On an unknown flag, an empty value, or a number that is not finite.
        """
        for action in self._actions:
            if action.type is float:
                action.type = finite_number
        *parsed, unknown = self.parse_args_into_dataclasses(list(argv), return_remaining_strings=True)
        self.refuse_strays(unknown)
        for settings in parsed:
            require_meaning(vars(settings))
        return tuple(parsed)


def require_meaning(settings: Mapping[str, Any]) -> None:
    """Raise an `InputError` if a flag is empty, or a flag for keyword arguments is not a JSON object."""
    for name, value in settings.items():
        if isinstance(value, str) and not value.strip():
            raise InputError(f"--{name} is empty. Give a value, or leave it out.")
        if isinstance(value, str) and name.endswith("_kwargs"):
            raise InputError(f"--{name} {shlex.quote(value)} must be a JSON object, such as '{{\"name\": 1}}'.")
