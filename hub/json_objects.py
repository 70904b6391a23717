"""Read the JSON files of a saved model, with errors that name the broken file."""

import json
from pathlib import Path
from typing import Any

from seqrec.errors import SavedFolderError
from seqrec.interactions.one_line import one_line

__all__ = ["MEND", "broken", "parse_json_object", "read_json_object"]

LONGEST = 500
MEND = "Save the model again, or download it again from its source."


def read_json_object(path: str | Path, mend: str = MEND) -> dict[str, Any]:
    """Read a file that must contain a JSON object.

    Raises:
        SavedFolderError: If it cannot be read, or holds something else.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise broken(path, f"cannot be read ({error})", mend) from error
    return parse_json_object(content, path, mend)


def parse_json_object(content: bytes, path: str | Path, mend: str = MEND) -> dict[str, Any]:
    """Parse the content of a file that must hold a JSON object.

    Raises:
        SavedFolderError: If it holds something else, or is not valid JSON.
    """
    try:
        found = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # bad JSON, bad encoding, or nested too deeply
        raise broken(path, f"is not valid JSON ({error})", mend) from error
    if not isinstance(found, dict):
        raise broken(path, f"must hold a JSON object, but holds {type(found).__name__}", mend)
    return found


def broken(path: str | Path, what: str, mend: str = MEND) -> SavedFolderError:
    """Build the one-line error that names a broken file."""
    return SavedFolderError(f"{path} {one_line(what, LONGEST)}. {mend}")
