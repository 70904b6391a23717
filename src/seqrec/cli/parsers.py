"""Command-line parsers with one-line errors, and the types of flag values."""

import argparse
import difflib
import math
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

from transformers import HfArgumentParser

from seqrec.errors import InputError, SeqrecError

__all__ = [
    "DataclassParser",
    "FlagParser",
    "finite_number",
    "join_ids",
    "not_empty",
    "positive_integer",
    "shell_command",
    "some_ids",
    "split_ids",
]

ID = re.compile(r'\s*(?:"((?:[^"]|"")*)"|((?!\s*")[^,]*?))\s*(?:,|\Z)')
SETTING = re.compile(r"""(?<![\w.-])([a-z]\w*)=('[^']*'|"[^"]*"|[\w.+-]*[\w+-])""")
QUOTES = "'\""
COLUMNS_ARGUMENT = re.compile(r"`columns` \((--[^)]*)\)")  # the Python argument, followed by its flags


class FlagParser(argparse.ArgumentParser):
    """A parser without abbreviations, whose errors are one-line `InputError`s."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "allow_abbrev": False})

    def error(self, message: str) -> NoReturn:
        """Raise an `InputError`, whose message `main` prints."""
        message = re.sub(r"^argument (--\w+)\S*", r"\1", message).rstrip(".")  # without a flag's other spellings
        raise InputError(f"{message}. `{self.prog} --help` lists the flags.")

    @contextmanager
    def naming_flags(self) -> Iterator[None]:
        """Make errors name flags: `--k 0`, where Python users see `k=0`."""
        try:
            yield
        except ValueError as error:
            kind = type(error) if isinstance(error, SeqrecError) else InputError
            raise kind(self.with_flags(str(error))) from error

    def with_flags(self, message: str) -> str:
        """Rewrite settings as flags, if this parser has them."""

        def flag(found: re.Match[str]) -> str:
            name, value = found[1], found[2]
            if f"--{name}" not in self._option_string_actions:
                return found[0]
            return f"--{name} {shlex.quote(value[1:-1]) if value[0] in QUOTES else value}"

        return SETTING.sub(flag, COLUMNS_ARGUMENT.sub(r"\1", message))


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
        if unknown:
            self.refuse_unknown(unknown[0])
        for settings in parsed:
            require_meaning(vars(settings))
        return tuple(parsed)

    def refuse_unknown(self, word: str) -> NoReturn:
        """Raise an `InputError` that names the unknown word, and the flag that it may be a misspelling of."""
        if not word.startswith("--"):
            raise InputError(f"{word!r} belongs to no flag. If a value contains spaces, put it in quotes.")
        flag = word.partition("=")[0]
        near = difflib.get_close_matches(flag, [name for name in self._option_string_actions if "-" not in name[2:]], 1)
        advice = f"Did you mean {near[0]}?" if near else f"`{self.prog} --help` lists the flags."
        raise InputError(f"There is no flag {flag}. {advice}")


def require_meaning(settings: Mapping[str, Any]) -> None:
    """Raise an `InputError` if a flag is empty, or a flag for keyword arguments is not a JSON object."""
    for name, value in settings.items():
        if isinstance(value, str) and not value.strip():
            raise InputError(f"--{name} is empty. Give a value, or leave it out.")
        if isinstance(value, str) and name.endswith("_kwargs"):
            raise InputError(f"--{name} {shlex.quote(value)} must be a JSON object, such as '{{\"name\": 1}}'.")


def finite_number(text: str) -> float:
    """Parse a finite number."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number")
    return number


def positive_integer(text: str) -> int:
    """Parse an integer of at least 1."""
    if not text.strip().isascii() or not text.strip().isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def not_empty(text: str) -> str:
    """Parse a name or path, which must not be empty."""
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty")
    return text


def split_ids(text: str) -> list[str]:
    """Split ids at commas; ids that contain a comma or begin with a double quote must be in double quotes."""
    ids, place = [], 0
    while place < len(text):
        found = ID.match(text, place)
        if found is None:
            raise argparse.ArgumentTypeError(f"a double quote is not closed, or not followed by a comma, in {text!r}")
        ids.append(found[2] if found[1] is None else found[1].replace('""', '"'))
        place = found.end()
    return [item_id for item_id in ids if item_id]


def some_ids(text: str) -> list[str]:
    """Split ids; at least one is required."""
    ids = split_ids(text)
    if not ids:
        raise argparse.ArgumentTypeError("it contains no id")
    return ids


def join_ids(ids: Sequence[str]) -> str:
    """Join ids with commas; `split_ids` reverses it."""

    def written(item_id: str) -> str:
        is_plain = item_id == item_id.strip() and not set(item_id) & {",", '"'}
        return item_id if is_plain else '"' + item_id.replace('"', '""') + '"'

    return ",".join(map(written, ids))


def shell_command(*words: str, **flags: str) -> str:
    """Quote a command for a shell; values that begin with a dash follow an equals sign."""
    parts = [
        part
        for name, value in flags.items()
        for part in ([f"--{name}={value}"] if value.startswith("-") else [f"--{name}", value])
    ]
    return shlex.join([*words, *parts])
