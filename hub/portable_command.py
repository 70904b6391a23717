"""Make the command line or Python call that trained a model fit to publish."""

import ast
import re
import shlex

from seqrec.hub.card_tables import without_folders

__all__ = ["language_of", "portable_command"]

# Flags and arguments whose value must never be published; argparse also accepts abbreviations (`--hub_tok`).
SECRET_FLAG = re.compile(r"--[\w-]*(hub[-_]t|token$)")
SECRET_ARGUMENT = re.compile(r"hub_t|token$")
CALLS = ("seqrec.train(", "seqrec.tune(")
WIDTH = 80


def language_of(command: str) -> str:
    """Return the language of a command for a Markdown code block: "python" or "bash"."""
    return "python" if command.startswith(CALLS) else "bash"


def portable_command(command: str) -> str:
    """Remove local folders and access tokens from a command; an empty string if it cannot be parsed."""
    return portable_call(command) if language_of(command) == "python" else portable_words(command)


def portable_words(command: str) -> str:
    """Remove local folders and access tokens from a command line."""
    try:
        words = shlex.split(command)
    except ValueError:
        return ""
    kept: list[str] = []
    awaits_secret = False
    for word in words:
        flag, equals, value = word.partition("=")
        is_secret_flag = SECRET_FLAG.match(flag) is not None
        is_secret_value = awaits_secret and not word.startswith("--")
        if not is_secret_flag and not is_secret_value:
            kept.append(f"{without_folders(flag)}{equals}{without_folders(value)}")
        awaits_secret = is_secret_flag and not equals
    return shlex.join(kept)


def portable_call(source: str) -> str:
    """Remove local folders and access tokens from a call in Python; split a long call into one line per argument."""
    try:
        call = ast.parse(source, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
    if not isinstance(call, ast.Call):
        return ""
    call.keywords = [one for one in call.keywords if one.arg and not SECRET_ARGUMENT.search(one.arg)]
    for node in ast.walk(call):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = without_folders(node.value)
    line = ast.unparse(call)
    if len(line) <= WIDTH:
        return line
    words = [*map(ast.unparse, call.args), *(f"{one.arg}={ast.unparse(one.value)}" for one in call.keywords)]
    return "\n".join([f"{ast.unparse(call.func)}(", *(f"    {word}," for word in words), ")"])
