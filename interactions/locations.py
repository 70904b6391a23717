"""Interpret the name of a data set or a model: a path, an address, or a repository on the Hub.

A name that can only be a mistyped path is refused here; the Hub is never asked for it.
"""

import os
import re
from difflib import get_close_matches
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from seqrec.errors import InputError
from seqrec.interactions.one_line import one_line
from seqrec.interactions.public_names import PUBLIC_SETS, parse_public_name

__all__ = [
    "NAMED_SETS",
    "SUFFIXES",
    "is_address",
    "is_hub_name",
    "local_path",
    "require_dataset_name",
    "require_model_name",
    "similar",
    "table_suffix",
]

SUFFIXES: tuple[str, ...] = (".csv", ".csv.gz", ".parquet", ".jsonl", ".jsonl.gz", ".tsv", ".tsv.gz")
SUFFIXES += tuple(suffix + packed for suffix in (".ndjson", ".json", ".txt", ".dat") for packed in ("", ".gz"))
OTHER_FILES = (".safetensors", ".bin", ".pt", ".pth", ".onnx", ".yaml", ".yml", ".zip", ".gz")
HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?(:[\w.+\[\]%-]+)?", re.ASCII)
LONGEST_HUB_NAME = 96  # the Hub's own limit
MOST_SIMILAR = 3
NAMED_SETS = ("ml-100k", "synthetic")
WINDOWS_DRIVE = re.compile(r"[A-Za-z]:")
ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")  # at least two letters: one would be a drive
ENGINE_ADDRESS = re.compile(r"(?!file:)[A-Za-z][A-Za-z0-9+.-]+://")
HUB_ADDRESS = re.compile(r"(?:hf://|https?://huggingface\.co/)datasets/([^/]+/[^/?#@]+)")


def local_path(dataset: str | Path) -> Path:
    """Return the path that a name stands for, whether or not it exists.

    Raises:
        InputError: If the name is empty, an address (https://, s3://, …) of no local file, or in an unknown home
            folder.
    """
    text = str(dataset)
    if not text:
        raise InputError("An empty name was given. Name a file, a folder, or a data set of the Hub.")
    address = ADDRESS.match(text) if isinstance(dataset, str) else None
    if address is not None and address[1].lower() == "file":
        parts = urlsplit(text)
        if parts.netloc not in ("", "localhost"):
            raise InputError(f"'{text}' is a file on another machine ({parts.netloc}). Give a path on this one.")
        return Path(url2pathname(parts.path))
    if address is not None and not Path(text).exists():
        on_hub = HUB_ADDRESS.match(text)
        advice = f"Give its name: {on_hub[1]}." if on_hub else "Download it first, and give the path of the file."
        raise InputError(
            f"'{text}' is an address ({address[1]}), but seqrec reads files, folders and the Hub. {advice}"
        )
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise InputError(f"There is no file or folder '{text}': its home folder is unknown.") from error


def is_address(source: str | Path) -> bool:
    """Return whether a name is an address of no local file, such as s3://bucket/table."""
    return ENGINE_ADDRESS.match(str(source)) is not None


def table_suffix(path: Path) -> str | None:
    """Return the suffix of a path that names a table, such as `.csv.gz`; None for any other path."""
    lower = path.name.lower()
    return max((suffix for suffix in SUFFIXES if lower.endswith(suffix)), key=len, default=None)


def is_hub_name(name: str) -> bool:
    """Return whether a name that is not a path here can be a repository; that of a data set may end in `:splits`.

    `runs/model` cannot be one if a folder `runs` exists, nor can the name of a file, such as `logs/may.csv`.
    """
    repository = name.partition(":")[0]
    has_form = HUB_NAME.fullmatch(name) is not None and WINDOWS_DRIVE.match(name) is None
    if not has_form or len(repository) > LONGEST_HUB_NAME:
        return False
    organization, slash, _ = repository.partition("/")
    is_path_here = slash and os.path.isdir(organization)
    return not is_path_here and not repository.lower().endswith((*SUFFIXES, *OTHER_FILES))


def require_model_name(name: str | os.PathLike[str]) -> None:
    """Refuse a name that is neither a folder nor possibly a model on the Hub, before asking the Hub.

    Raises:
        InputError: On a mistyped path; the message suggests similar ones.
    """
    text = str(name)
    if os.path.isdir(text) or (text.count("/") == 1 and ":" not in text and is_hub_name(text)):
        return
    raise InputError(
        f"'{one_line(text)}' is not a folder here, and is not looked up on the Hub, where names have the form "
        f"org/name.{similar(text)}"
    )


def require_dataset_name(name: str) -> None:
    """Refuse a name that is neither a named set, an existing path nor possibly a data set on the Hub.

    Raises:
        InputError: On a mistyped path or a missing part of a public set; the message suggests similar ones.
    """
    if parse_public_name(name) is not None:
        return
    path = local_path(name)
    before_colon = name.rpartition(":")[0]
    if name in NAMED_SETS or os.path.exists(path) or (before_colon and os.path.isdir(before_colon)):
        return
    if table_suffix(path):
        raise InputError(f"There is no file '{one_line(path)}'.{similar(path)}")
    if "/" in name and is_hub_name(name):
        return
    near = get_close_matches(name.partition(":")[0], (*NAMED_SETS, *PUBLIC_SETS), n=1)
    advice = f" Did you mean {near[0]}?" if near else similar(path)
    if not advice and name.isidentifier():
        advice = f" Known by name: {', '.join((*NAMED_SETS, *PUBLIC_SETS))}."
    raise InputError(
        f"There is no file or folder '{one_line(name)}', and a data set on the Hub has a name such as org/name.{advice}"
    )


def similar(name: str | os.PathLike[str]) -> str:
    """Return a sentence that suggests similar names in the deepest existing folder of a path; empty without any."""
    try:
        missing = Path(str(name).replace("\\", "/")).expanduser()
        while missing.parent != missing and not missing.parent.exists():
            missing = missing.parent
        names = {shown: name for name in os.listdir(missing.parent) for shown in (Path(name).stem, name)}
    except (OSError, RuntimeError, ValueError):  # an impossible path, or an unknown home folder
        return ""
    near = get_close_matches(missing.name, names, n=MOST_SIMILAR)
    found = [f"'{missing.parent / name}'" for name in dict.fromkeys(names[one] for one in near)]
    return f" Did you mean {' or '.join(found)}?" if found else ""
