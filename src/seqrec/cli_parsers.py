"""Parsers of the command line whose errors take one line, and the kinds of values that flags take."""

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

ID = re.compile(r'\s*(?:"((?:[^"]|"")*)"|((?!\s*")[^,]*?))\s*(?:,|\Z)')
SETTING = re.compile(r"""(?<![\w.-])([a-z]\w*)=('[^']*'|"[^"]*"|[\w.+-]*[\w+-])""")
QUOTES = "'\""
COLUMNS_ARGUMENT = re.compile(r"`columns` \((--[^)]*)\)")  # Python's, and its flags


class FlagParser(argparse.ArgumentParser):
    """A parser without abbreviations, which raises its errors: as a `ValueError` of one line."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "allow_abbrev": False})

    def error(self, message: str) -> NoReturn:
        """Raise a `ValueError`, after which `main` tells the message."""
        message = re.sub(r"^argument (--\w+)\S*", r"\1", message).rstrip(".")  # without a flag's other spellings
        raise InputError(f"{message}. `{self.prog} --help` tells the flags.")

    @contextmanager
    def naming_flags(self) -> Iterator[None]:
        """Let errors speak of flags: `--k 0`, where Python's users are told of `k=0`."""
        try:
            yield
        except ValueError as error:
            kind = type(error) if isinstance(error, SeqrecError) else InputError
            raise kind(self.with_flags(str(error))) from error

    def with_flags(self, message: str) -> str:
        """Write settings as flags, those that this parser has."""

        def flag(found: re.Match[str]) -> str:
            name, value = found[1], found[2]
            if f"--{name}" not in self._option_string_actions:
                return found[0]
            return f"--{name} {shlex.quote(value[1:-1]) if value[0] in QUOTES else value}"

        return SETTING.sub(flag, COLUMNS_ARGUMENT.sub(r"\1", message))


class DataclassParser(FlagParser, HfArgumentParser):
    """The same, for fields of dataclasses."""

    def parse_all(self, argv: Sequence[str]) -> tuple[Any, ...]:
        """Parse into the dataclasses, and a namespace of the other flags.

        Raises:
            ValueError: On an unknown flag, an empty value, or a number that is not finite.
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
        """Raise a `ValueError` that names what was unknown, and the flag that it may be a misspelling of."""
        if not word.startswith("--"):
            raise InputError(f"{word!r} belongs to no flag. If a value holds spaces, put it in quotes.")
        flag = word.partition("=")[0]
        near = difflib.get_close_matches(flag, [name for name in self._option_string_actions if "-" not in name[2:]], 1)
        advice = f"Did you mean {near[0]}?" if near else f"`{self.prog} --help` tells the flags."
        raise InputError(f"There is no flag {flag}. {advice}")


def require_meaning(settings: Mapping[str, Any]) -> None:
    """Raise a `ValueError` if a flag is empty, or plain text where options are named."""
    for name, value in settings.items():
        if isinstance(value, str) and not value.strip():
            raise InputError(f"--{name} is empty. Give a value, or leave it out.")
        if isinstance(value, str) and name.endswith("_kwargs"):
            raise InputError(f"--{name} {shlex.quote(value)} must be a JSON object, such as '{{\"name\": 1}}'.")


def finite_number(text: str) -> float:
    """Read a number, neither infinite nor NaN."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number")
    return number


def positive_integer(text: str) -> int:
    """Read a whole number of at least 1."""
    if not text.strip().isascii() or not text.strip().isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def not_empty(text: str) -> str:
    """Read a name or path, which must not be empty."""
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty")
    return text


def split_ids(text: str) -> list[str]:
    """Split ids at commas; one that holds a comma or begins with a double quote stands in double quotes itself."""
    ids, place = [], 0
    while place < len(text):
        found = ID.match(text, place)
        if found is None:
            raise argparse.ArgumentTypeError(f"a double quote is not closed, or not followed by a comma, in {text!r}")
        ids.append(found[2] if found[1] is None else found[1].replace('""', '"'))
        place = found.end()
    return [item_id for item_id in ids if item_id]


def some_ids(text: str) -> list[str]:
    """Split ids, of which there must be one at least."""
    ids = split_ids(text)
    if not ids:
        raise argparse.ArgumentTypeError("it holds no id")
    return ids


def join_ids(ids: Sequence[str]) -> str:
    """Write ids so that `split_ids` reads them."""

    def written(item_id: str) -> str:
        is_plain = item_id == item_id.strip() and not set(item_id) & {",", '"'}
        return item_id if is_plain else '"' + item_id.replace('"', '""') + '"'

    return ",".join(map(written, ids))


def shell_command(*words: str, **flags: str) -> str:
    """Write a command as a shell takes it; a value that begins with a dash stands behind an equals sign."""
    parts = [
        part
        for name, value in flags.items()
        for part in ([f"--{name}={value}"] if value.startswith("-") else [f"--{name}", value])
    ]
    return shlex.join([*words, *parts])
