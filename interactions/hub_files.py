"""Download single files of data sets on the Hub, by its own client: HF_HOME, HF_TOKEN and HF_HUB_OFFLINE apply."""

import errno
from pathlib import Path

from huggingface_hub import constants, hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

from seqrec.errors import InputError
from seqrec.interactions.hub_errors import explained

__all__ = ["hub_file"]


def hub_file(repo_id: str, path: str, revision: str | None = None) -> Path:
    """Return a file of a data set's repository, downloading it unless the Hub's cache has it.

    An interrupted download is resumed by the next call.

    Args:
        repo_id: The repository.
        path: The file in it.
        revision: Branch, tag or commit; None for the newest.

    Raises:
        InputError: If the repository has no such file, or the disk is full.
        HubError: If the Hub refuses, or has no such revision.
        HubConnectionError: If it cannot be reached, or fails.
    """
    with explained(repo_id, "downloaded"):
        try:
            return Path(hf_hub_download(repo_id, path, repo_type="dataset", revision=revision))
        except LocalEntryNotFoundError:  # no connection
            raise
        except EntryNotFoundError as error:
            raise InputError(
                f"The data set '{repo_id}' has no file '{path}' (revision {revision or 'main'}). Its files have "
                "changed: give an earlier commit after the name, as in NAME@COMMIT."
            ) from error
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise InputError(
                f"'{path}' of '{repo_id}' does not fit on the disk of '{constants.HF_HUB_CACHE}'. Free some space, or "
                "set HF_HOME to a folder on another disk; then try again, which resumes the download."
            ) from error
