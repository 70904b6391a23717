"""Push a saved model's folder to the Hub as it is, and find the files of one that was pushed."""

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

PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle", "*.joblib")
# A card's example names its folder, which has no slash; the name of another repository is left as it is.
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
    """Upload a saved model, or adapter, in one commit; the repository is created if there is none.

    The card's example is made to name the repository in place of the folder. Large files that an interrupted
    push has uploaded are not sent again.

    Args:
        folder: Written by `seqrec train`, or a `save_pretrained`.
        repo_id: `"org/name"`, or `"name"` for one of your own.
        private: Whether a new repository is private; None for the organization's default.
        token: Token with the right to write; None for the one that `hf auth login` or HF_TOKEN keeps.
        revision: Branch to push to, created if there is none; the main one if None.
        create_pr: Whether to propose the commit as a pull request to an existing repository.
        commit_message: What to call the commit.

    Returns:
        Address of the repository, branch or pull request.

    Raises:
        InputError: If there is no such folder, it holds a pickle, or a link in place of a file to be shared; on
            `create_pr` with a `revision`, or a `repo_id` that is no name of a repository.
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
            [CommitOperationAdd(path.name, content_to_push(path, repo_id)) for path in paths],
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
    """Upload what `PreparedData.save` wrote as a data set of the Hub, which is created if there is none.

    Args:
        folder: The prepared set.
        repo_id: `"org/name"`, or `"name"` for one of your own.
        private: As in `push_folder`.
        token: As in `push_folder`.

    Returns:
        Address of the data set.

    Raises:
        InputError: If a file is a link, or `repo_id` is no name of a repository.
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
    """Refuse a folder that holds neither a model nor an adapter."""
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder. Give the one that holds a saved model.{similar(folder)}")
    names = {path.name for path in folder.iterdir()}
    is_model = "config.json" in names and not names.isdisjoint({SINGLE, INDEX})
    if not is_model and not names.issuperset(ADAPTER):
        raise SavedFolderError(
            f"{folder} holds no model: expected config.json and model.safetensors there, as `seqrec train` and "
            "`save_pretrained` write them."
        )


def refuse_pickles(folder: Path) -> None:
    """Raise a `ValueError` if a folder holds pickles beside the model, which nobody should have to load."""
    pickles = sorted(path.name for path in folder.iterdir() if matches(path.name, PICKLES))
    if pickles:
        raise InputError(
            f"{folder} holds {', '.join(pickles)}: pickles, as these may be, run code where they are loaded. Delete "
            "them, or save the model into a folder of its own."
        )


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Tell whether a file's name fits one of the patterns."""
    return any(fnmatch(name, pattern) for pattern in patterns)


def content_to_push(path: Path, repo_id: str) -> bytes | Path:
    """Return a card's text with the repository in its example, and any other file as it is."""
    if path.name != CARD:
        return path
    name = python(repo_id)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise broken(str(path), f"is no text in UTF-8 ({error})", "Write it anew, or delete it.") from error
    return LOADED_FOLDER.sub(lambda _: name, text).encode()


@contextmanager
def without_data_file_warning() -> Iterator[None]:
    """Let the client not wonder whether items.parquet is a data set."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="It seems that you are about to commit a data file")
        yield
