"""Read the JSON files of a saved model, with errors that name the broken file."""

import json
from pathlib import Path
from typing import Any

from seqrec.errors import SavedFolderError
from seqrec.interactions.one_line import one_line

__all__ = ["MEND", "broken", "read_json_object"]

LONGEST = 500
MEND = "Save the model again, or download it again from its source."


def read_json_object(path: str | Path, mend: str = MEND) -> dict[str, Any]:
    """Read a file that must contain a JSON object.

    Raises:
        SavedFolderError: If it cannot be read, or holds something else.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise broken(path, f"cannot be read ({error})", mend) from error
    except (ValueError, RecursionError) as error:  # bad JSON, bad encoding, or nested too deeply
        raise broken(path, f"is not valid JSON ({error})", mend) from error
    if not isinstance(content, dict):
        raise broken(path, f"must hold a JSON object, but holds {type(content).__name__}", mend)
    return content


def broken(path: str | Path, what: str, mend: str = MEND) -> SavedFolderError:
    """Build the one-line error that names a broken file."""
    return SavedFolderError(f"{path} {one_line(what, LONGEST)}. {mend}")
