"""Command-line parsers with one-line errors, and the types of flag values."""

import argparse
import difflib
import math
import re
import shlex
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn, TypeVar

from seqrec.errors import InputError, SeqrecError

__all__ = [
    "FlagParser",
    "close",
    "finite_number",
    "flag_names",
    "integer",
    "join_ids",
    "limits",
    "not_empty",
    "number_or_none",
    "positive_integer",
    "require_flags",
    "shell_command",
    "some_ids",
    "split_ids",
    "true_or_false",
    "weights",
]

ID = re.compile(r'\s*(?:"((?:[^"]|"")*)"|((?!\s*")[^,]*?))\s*(?:,|\Z)')
SETTING = re.compile(r"""(?<![\w.-])([a-z]\w*)=('[^']*'|"[^"]*"|[\w.+-]*[\w+-])""")
Number = TypeVar("Number", int, float)
QUOTES = "'\""
CHOICE = re.compile(r"invalid choice: '(.*)' \(choose from (.*)\)")
FIELD_CHOICE = re.compile(r"(\w+) must be one of (.*), but is '(.*)'\.")
NAME = re.compile(r"`([a-z]\w*)`")
COLUMNS_ARGUMENT = re.compile(r"`columns` \((--[^)]*)\)")  # the Python argument, followed by its flags


class FlagParser(argparse.ArgumentParser):
    """A parser without abbreviations, whose errors are one-line `InputError`s."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "allow_abbrev": False})

    def error(self, message: str) -> NoReturn:
        """Raise an `InputError`, whose message `main` prints."""
        message = re.sub(r"^argument (--\w+)\S*", r"\1", message).rstrip(".")  # without a flag's other spellings
        choice = CHOICE.search(message)
        near = choice and close(choice[1], re.findall(r"[^\s,']+", choice[2]))
        raise InputError(f"{message}. {advice(near, self.prog)}")

    def print_help(self, file: Any = None) -> None:
        """Print the help; argparse would not notice a closed pipe."""
        print(self.format_help(), end="", file=file)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, and refuse unknown flags first: a required flag that is missing may be one of them.

        Raises:
            InputError: On any mistake.
        """
        require_flags(args, flag_names(self), self.prog)
        parsed, unknown = self.parse_known_args(args, namespace)
        self.refuse_strays(unknown)
        return parsed

    def refuse_strays(self, words: Sequence[str]) -> None:
        """Raise an `InputError` for words that belong to no flag."""
        if words and words[0].startswith("--"):
            raise unknown_flag(words[0], flag_names(self), self.prog)
        if words:
            raise InputError(f"{words[0]!r} belongs to no flag. If a value contains spaces, put it in quotes.")

    @contextmanager
    def naming_flags(self) -> Iterator[None]:
        """Make errors name flags: `--k 0` and `--k`, where Python users see `k=0`, and `k` between backticks."""
        try:
            yield
        except ValueError as error:
            kind = type(error) if isinstance(error, SeqrecError) else InputError
            raise kind(self.with_flags(str(error))) from error

    def with_flags(self, message: str) -> str:
        """Rewrite settings as flags, if this parser has them."""

        def flag(found: re.Match[str]) -> str:
            name, value = found[1], found[2]
            action = self._option_string_actions.get(f"--{name}")
            if action is None:
                return found[0]
            if value == "True" and action.nargs == "?":  # a switch
                return f"--{name}"
            return f"--{name} {shlex.quote(value[1:-1]) if value[0] in QUOTES else value}"

        def bare_flag(found: re.Match[str]) -> str:
            return f"--{found[1]}" if f"--{found[1]}" in self._option_string_actions else found[0]

        message = SETTING.sub(flag, NAME.sub(bare_flag, COLUMNS_ARGUMENT.sub(r"\1", message)))
        return self.with_choice(message)

    def with_choice(self, message: str) -> str:
        """Name the flag of a field that must be one of some words, and the word that may have been meant."""
        found = FIELD_CHOICE.fullmatch(message)
        if found is None or f"--{found[1]}" not in self._option_string_actions:
            return message
        near = close(found[3], re.findall(r"[\w-]+", found[2]))
        return f"--{message}{f' Did you mean {near}?' if near else ''}"


def flag_names(parser: argparse.ArgumentParser) -> set[str]:
    """Return the names of a parser's flags, without dashes at the start, in their spelling with underscores."""
    return {flag.lstrip("-").replace("-", "_") for flag in parser._option_string_actions}


def require_flags(argv: Sequence[str], names: Collection[str], prog: str) -> None:
    """Raise an `InputError` for a flag whose name is unknown.

    Args:
        argv: The words of a command line.
        names: The known names, as `flag_names` returns them.
        prog: The command, for the message.
    """
    for word in argv:
        flag = word.partition("=")[0]
        if not flag.startswith("--") or flag == "--" or " " in flag:  # with a space, it is the text of a value
            continue
        name = flag[2:].replace("-", "_")
        if not {name, name.removeprefix("no_")} & set(names):
            raise unknown_flag(flag, names, prog)


def unknown_flag(word: str, names: Iterable[str], prog: str) -> InputError:
    """Describe an unknown flag, and the one that it may be a misspelling of."""
    flag = word.partition("=")[0]
    near = close(flag, [f"--{name}" for name in names])
    return InputError(f"There is no flag {flag}. {advice(near, prog)}")


def advice(near: str | None, prog: str) -> str:
    """Suggest a word instead of an unknown one, or else the help of the command."""
    return f"Did you mean {near}?" if near else f"`{prog} --help` lists the flags."


def close(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that another one may be a misspelling of, if any."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return near[0] if near else None


def finite_number(text: str) -> float:
    """Parse a finite number."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number")
    return number


def number_or_none(text: str) -> float | None:
    """Parse a finite number, or the word none."""
    return None if text.strip().lower() == "none" else finite_number(text)


def weights(text: str) -> dict[str, float]:
    """Parse weights by name, such as `next_item=1,rating=0.2`."""
    return numbers_by_name(text, finite_number, "next_item=1,rating=0.2")


def limits(text: str) -> dict[str, int]:
    """Parse integers of at least 1 by name, such as `genres=3,brand=1`."""
    return numbers_by_name(text, positive_integer, "genres=3,brand=1")


def numbers_by_name(text: str, parse: Callable[[str], Number], example: str) -> dict[str, Number]:
    """Parse numbers by name, separated by commas."""
    found: dict[str, Number] = {}
    for part in text.split(","):
        name, separator, number = (word.strip() for word in part.partition("="))
        if not name or not separator or name in found:
            raise argparse.ArgumentTypeError(f"{text!r} is not of the form {example}, each name once")
        found[name] = parse(number)
    return found


def positive_integer(text: str) -> int:
    """Parse an integer of at least 1."""
    if not text.strip().isascii() or not text.strip().isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def integer(text: str) -> int:
    """Parse an integer."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None


def true_or_false(text: str) -> bool:
    """Parse a switch."""
    from transformers.hf_argparser import string_to_bool  # here, as transformers takes long to import

    return string_to_bool(text)


def not_empty(text: str) -> str:
    """Parse a name or path, which must not be empty."""
    if not text.strip():
        raise argparse.ArgumentTypeError("is empty")
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
        raise argparse.ArgumentTypeError("contains no id")
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
