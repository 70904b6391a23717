"""Write text of any origin into Markdown, so that it shows as it is and is never markup, HTML, or a control code.

CommonMark 0.31: what a backslash escapes (2.4), entities (2.5), code spans (6.1), fenced code (4.5).
"""

import json
import re
from typing import Any

MARKUP = re.compile(r"[\\`*\[\]#~!$]|(?<![^\W_])_|_(?![^\W_])")  # a "_" within a word is none
ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;"}
RUN_OF_BACKTICKS = re.compile("`+")


def text(value: object) -> str:
    """Write a value as running text, on one line."""
    escaped = MARKUP.sub(r"\\\g<0>", one_line(value))
    return "".join(ENTITIES.get(letter, letter) for letter in escaped)


def code(value: object) -> str:
    """Write a value as code within a line, also in a table's cell."""
    line = one_line(value)
    if "|" in line:  # cells are split before code is looked for, and a backslash before it may do anything
        return f"<code>{''.join(letter if letter.isalnum() else f'&#{ord(letter)};' for letter in line)}</code>"
    fence = "`" * (longest_run(line) + 1)
    space = " " if line[:1] in ("`", " ", "") or line[-1:] in ("`", " ") else ""
    return f"{fence}{space}{line}{space}{fence}"


def fenced(value: str, language: str) -> str:
    """Write lines as a block of code."""
    fence = "`" * max(3, longest_run(value) + 1)
    lines = "".join(letter if letter.isprintable() or letter == "\n" else as_escape(letter) for letter in value)
    return f"{fence}{language}\n{lines}\n{fence}"


def python(value: Any) -> str:
    """Write a text, or a list of them, as Python source."""
    source = json.dumps(value, ensure_ascii=False)
    return "".join(letter if letter.isprintable() else as_escape(letter) for letter in source)


def one_line(value: object) -> str:
    """Put a value on one line, without anything that is not printed."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in str(value)).split())


def longest_run(value: str) -> int:
    """Count the backticks of the longest run of them."""
    return max(map(len, RUN_OF_BACKTICKS.findall(value)), default=0)


def as_escape(letter: str) -> str:
    """Write a character as an escape sequence of Python."""
    return f"\\u{ord(letter):04x}" if ord(letter) < 0x10000 else f"\\U{ord(letter):08x}"
