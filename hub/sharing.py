"""Push a saved model's or prepared set's folder to the Hub."""

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.utils import validate_repo_id

from seqrec.errors import InputError, SavedFolderError
from seqrec.hub.json_objects import broken
from seqrec.hub.markdown import python
from seqrec.hub.product_files import ADAPTER, CARD, prepared_set_files, product_files
from seqrec.interactions.hub_errors import explained
from seqrec.interactions.locations import similar
from seqrec.modeling.weight_files import INDEX, SINGLE

__all__ = ["push_folder", "push_prepared_set", "refuse_pickles", "require_model"]

PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle", "*.joblib")
# A card's example names its folder, which has no slash; names of other repositories are left unchanged.
LOADED_FOLDER = re.compile(r'((?<=from_pretrained\()|(?<=, model=))"(?:[^"/\\\n]|\\[^\n])*"')


def push_folder(
    folder: str | Path,
    repo_id: str,
    *,
    private: bool | None = None,
    token: str | bool | None = None,
    revision: str | None = None,
    create_pr: bool = False,
    commit_message: str | None = None,
) -> str:
    """Upload a saved model or adapter in one commit; the repository is created if it does not exist.

    In the card's example, the repository's name replaces the folder's. Large files that an interrupted push has
    already uploaded are not sent again.

    Args:
        folder: Written by `seqrec train` or `save_pretrained`.
        repo_id: `"org/name"`, or `"name"` in your own namespace.
        private: Whether a new repository is private; None for the organization's default.
        token: Token with write access; None for the one from `hf auth login` or HF_TOKEN.
        revision: Branch to push to, created if it does not exist; None for main.
        create_pr: Whether to propose the commit as a pull request to an existing repository.
        commit_message: Title of the commit.

    Returns:
        Address of the repository, branch or pull request.

    Raises:
        InputError: If the folder does not exist, holds a pickle, or a file to share is a link; if both `create_pr` and
            `revision` are given; or if `repo_id` is not a valid repository name.
        SavedFolderError: If the folder holds no model, or a damaged one.
        HubError: If the Hub refuses.
        HubConnectionError: If the Hub cannot be reached, or fails.
    """
    folder = Path(folder)
    require_model(folder)
    refuse_pickles(folder)
    paths = product_files(folder)
    if create_pr and revision is not None:
        raise InputError(f"A pull request is made against main, but revision={revision!r} was given. Leave one out.")
    api = HfApi(token=token)
    with explained(repo_id, "pushed", token=token), without_data_file_warning():
        validate_repo_id(repo_id)
        if not create_pr:
            repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
        if revision is not None and not revision.startswith("refs/"):
            api.create_branch(repo_id, branch=revision, exist_ok=True)
        commit = api.create_commit(
            repo_id,
            [CommitOperationAdd(path.relative_to(folder).as_posix(), content_to_push(path, repo_id)) for path in paths],
            commit_message=commit_message or "Upload a sequential recommender with seqrec",
            revision=revision,
            create_pr=create_pr,
        )
    if commit.pr_url is not None:
        return commit.pr_url
    return f"{api.endpoint}/{repo_id}" + (f"/tree/{revision}" if revision else "")


def push_prepared_set(
    folder: str | Path, repo_id: str, *, private: bool | None = None, token: str | bool | None = None
) -> str:
    """Upload a prepared set, written by `PreparedData.save`, as a data set; it is created if it does not exist.

    Args:
        folder: The prepared set.
        repo_id: `"org/name"`, or `"name"` in your own namespace.
        private: See `push_folder`.
        token: See `push_folder`.

    Returns:
        Address of the data set.

    Raises:
        InputError: If a file is a link, or `repo_id` is not a valid repository name.
        HubError: If the Hub refuses.
        HubConnectionError: If the Hub cannot be reached, or fails.
    """
    paths = prepared_set_files(Path(folder))
    api = HfApi(token=token)
    with explained(repo_id, "pushed", token=token), without_data_file_warning():
        validate_repo_id(repo_id)
        repo_id = api.create_repo(repo_id, repo_type="dataset", private=private, exist_ok=True).repo_id
        api.create_commit(
            repo_id,
            [CommitOperationAdd(path.name, path) for path in paths],
            commit_message="Upload a prepared set with seqrec",
            repo_type="dataset",
        )
    return f"{api.endpoint}/datasets/{repo_id}"


def require_model(folder: Path) -> None:
    """Raise an error if a folder holds neither a model nor an adapter."""
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder. Give the one that holds a saved model.{similar(folder)}")
    names = {path.name for path in folder.iterdir()}
    is_model = "config.json" in names and not names.isdisjoint({SINGLE, INDEX})
    if not is_model and not names.issuperset(ADAPTER):
        raise SavedFolderError(
            f"{folder} holds no model: expected config.json and model.safetensors. Save a model there first, with "
            "`seqrec train` or `save_pretrained`."
        )


def refuse_pickles(folder: Path) -> None:
    """Raise an `InputError` if a folder holds pickles, which run code when loaded."""
    pickles = sorted(path.name for path in folder.iterdir() if matches(path.name, PICKLES))
    if pickles:
        raise InputError(
            f"{folder} holds {', '.join(pickles)}, which may be pickles that run code when loaded. Delete them, or "
            "save the model in a separate folder."
        )


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Return whether a file's name matches one of the patterns."""
    return any(fnmatch(name, pattern) for pattern in patterns)


def content_to_push(path: Path, repo_id: str) -> bytes | Path:
    """Return a card's text with the repository in its example; return any other file unchanged."""
    if path.name != CARD:
        return path
    name = python(repo_id)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise broken(str(path), f"is not UTF-8 text ({error})", "Save it as UTF-8, or delete it.") from error
    return LOADED_FOLDER.sub(lambda _: name, text).encode()


@contextmanager
def without_data_file_warning() -> Iterator[None]:
    """Suppress the client's warning that items.parquet looks like a data set."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="It seems that you are about to commit a data file")
        yield
