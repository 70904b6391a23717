"""Flags with several values, which are separated by commas or spaces."""

import argparse
import json
from typing import Any

from seqrec.cli.parsers import finite_number

__all__ = ["Collect", "names", "numbers", "weights"]


class Collect(argparse.Action):
    """Join the values of all words of a flag, each of which is a list or a dictionary."""

    def __call__(self, parser: Any, namespace: argparse.Namespace, values: Any, option_string: Any = None) -> None:
        """Set the flag."""
        joined = values[0]
        for more in values[1:]:
            joined = joined | more if isinstance(joined, dict) else joined + more
        setattr(namespace, self.dest, joined)


def names(text: str) -> list[str]:
    """Parse names."""
    return [part.strip() for part in text.split(",") if part.strip()]


def numbers(text: str) -> list[float]:
    """Parse finite numbers."""
    return [finite_number(part) for part in names(text)]


def weights(text: str) -> dict[str, float]:
    """Parse `name=number`, or a JSON object."""
    if text.lstrip().startswith("{"):  # from a configuration file
        try:
            return json.loads(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is not valid JSON") from None
    pairs = [part.partition("=") for part in names(text)]
    wrong = [name for name, equals, _ in pairs if not equals]
    if wrong:
        raise argparse.ArgumentTypeError(f"{wrong[0]!r} has no weight; write {wrong[0]}=NUMBER")
    return {name.strip(): finite_number(number) for name, _, number in pairs}
