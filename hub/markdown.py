"""Escape untrusted text for Markdown, so that it is shown literally and never acts as markup, HTML or control code.

CommonMark 0.31: backslash escapes (2.4), entities (2.5), code spans (6.1), fenced code (4.5).
"""

import json
import re
from typing import Any

__all__ = ["code", "fenced", "one_line", "python", "text"]

MARKUP = re.compile(r"[\\`*\[\]#~!$]|(?<![^\W_])_|_(?![^\W_])")  # a "_" within a word is not markup
ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;"}
RUN_OF_BACKTICKS = re.compile("`+")


def text(value: object) -> str:
    """Format a value as plain text, on one line."""
    escaped = MARKUP.sub(r"\\\g<0>", one_line(value))
    return "".join(ENTITIES.get(letter, letter) for letter in escaped)


def code(value: object) -> str:
    """Format a value as inline code, safe in table cells too."""
    line = one_line(value)
    if "|" in line:  # tables are split into cells before code spans are parsed, and renderers differ on backslashes
        return f"<code>{''.join(letter if letter.isalnum() else f'&#{ord(letter)};' for letter in line)}</code>"
    fence = "`" * (longest_run(line) + 1)
    space = " " if line[:1] in ("`", " ", "") or line[-1:] in ("`", " ") else ""
    return f"{fence}{space}{line}{space}{fence}"


def fenced(value: str, language: str) -> str:
    """Format lines as a fenced code block."""
    fence = "`" * max(3, longest_run(value) + 1)
    lines = "".join(letter if letter.isprintable() or letter == "\n" else as_escape(letter) for letter in value)
    return f"{fence}{language}\n{lines}\n{fence}"


def python(value: Any) -> str:
    """Format a string, or a list of strings, as Python source."""
    source = json.dumps(value, ensure_ascii=False)
    return "".join(letter if letter.isprintable() else as_escape(letter) for letter in source)


def one_line(value: object) -> str:
    """Put a value on one line, without unprintable characters."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in str(value)).split())


def longest_run(value: str) -> int:
    """Return the length of the longest run of backticks."""
    return max(map(len, RUN_OF_BACKTICKS.findall(value)), default=0)


def as_escape(letter: str) -> str:
    """Format a character as a Python escape sequence."""
    return f"\\u{ord(letter):04x}" if ord(letter) < 0x10000 else f"\\U{ord(letter):08x}"
