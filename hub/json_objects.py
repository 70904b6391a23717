"""Reading the JSON files of a saved model, and saying which one is broken."""

import json
from pathlib import Path
from typing import Any

from seqrec.errors import SavedFolderError
from seqrec.interactions.one_line import one_line

LONGEST = 500
MEND = "Save the model again, or fetch it again from where it came."


def read_json_object(path: str, mend: str = MEND) -> dict[str, Any]:
    """Read a file that must hold a JSON object."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise broken(path, f"cannot be read ({error})", mend) from error
    except (ValueError, RecursionError) as error:  # of the JSON, of the text's encoding, or too deep a nesting
        raise broken(path, f"is no JSON ({error})", mend) from error
    if not isinstance(content, dict):
        raise broken(path, f"must hold a JSON object, but holds {type(content).__name__}", mend)
    return content


def broken(path: str, what: str, mend: str = MEND) -> SavedFolderError:
    """Make the error that says which file is broken, in one line."""
    return SavedFolderError(f"{path} {one_line(what, LONGEST)}. {mend}")
