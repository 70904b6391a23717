"""Flags of `seqrec train` from a YAML file."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seqrec.cli.parsers import FlagParser
from seqrec.errors import InputError
from seqrec.interactions.one_line import one_line

__all__ = ["with_config_file"]

NOT_IN_A_FILE = {"config", "help", "help_all"}


def with_config_file(argv: Sequence[str]) -> list[str]:
    """Put the flags of `--config FILE.yaml` before those of the command line, so that the latter take precedence.

    Raises:
        InputError: If the file cannot be read, or holds anything but flags.
    """
    parser = FlagParser(prog="seqrec train", add_help=False)
    parser.add_argument("--config")
    known, others = parser.parse_known_args(argv)
    path = known.config
    if path is None:
        return list(argv)
    import yaml  # here, as most commands need none

    try:
        settings = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        settings = {} if settings is None else settings  # empty, or only comments
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"The configuration file {path!r} cannot be read: {one_line(error)}.") from error
    if not isinstance(settings, dict):
        raise InputError(f"The configuration file {path!r} must hold `flag: value` lines.")
    return [*(word for name, value in settings.items() for word in flag_words(path, name, value)), *others]


def flag_words(path: str, name: Any, value: Any) -> list[str]:
    """Convert a setting of a configuration file to command-line arguments."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z]\w*", name) or name in NOT_IN_A_FILE:
        raise InputError(f"The configuration file {path!r} sets {name!r}, which is not a flag that a file may set.")
    if value is None or value == []:
        raise InputError(f"The configuration file {path!r} has no value for {name}. Give one, or delete the line.")
    if isinstance(value, dict):
        return [f"--{name}={json.dumps(value)}"]
    if not isinstance(value, list):
        return [f"--{name}={value}"]
    if any(isinstance(one, list | dict) or one is None for one in value):
        raise InputError(f"The configuration file {path!r} nests values in {name}: expected a list of plain values.")
    return [f"--{name}", *map(str, value)]
