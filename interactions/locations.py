"""What the name of a data set can be: a path, an address, or a repository of the Hub."""

import re
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from seqrec.errors import InputError

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?(:[\w.+\[\]%-]+)?", re.ASCII)
LONGEST_HUB_NAME = 96  # the Hub's own limit
WINDOWS_DRIVE = re.compile(r"[A-Za-z]:")
ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")  # of a drive, the name has one letter
HUB_ADDRESS = re.compile(r"(?:hf://|https?://huggingface\.co/)datasets/([^/]+/[^/?#@]+)")


def local_path(dataset: str | Path) -> Path:
    """Return the path that a name stands for, whether it exists or not.

    Raises:
        ValueError: On an address (https://, s3://, …) that is no local file, or a home folder that is not known.
    """
    text = str(dataset)
    if not text:
        raise InputError("An empty name was given. Name a file, a folder, or a data set of the Hub.")
    address = ADDRESS.match(text) if isinstance(dataset, str) else None
    if address is not None and address[1].lower() == "file":
        parts = urlsplit(text)
        if parts.netloc not in ("", "localhost"):
            raise InputError(f"'{text}' names a file of another machine ({parts.netloc}). Give a path of this one.")
        return Path(url2pathname(parts.path))
    if address is not None and not Path(text).exists():
        on_hub = HUB_ADDRESS.match(text)
        advice = f"Give its name: {on_hub[1]}." if on_hub else "Download it first, and give the path of the file."
        raise InputError(
            f"'{text}' is an address ({address[1]}), and seqrec reads files, folders and the Hub. {advice}"
        )
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise InputError(f"There is no file or folder '{text}': its home folder is not known.") from error


def is_hub_name(dataset: str) -> bool:
    """Tell whether something can be the name of a data set of the Hub, with splits after a colon if need be."""
    is_short = len(dataset.partition(":")[0]) <= LONGEST_HUB_NAME
    return is_short and HUB_NAME.fullmatch(dataset) is not None and WINDOWS_DRIVE.match(dataset) is None
