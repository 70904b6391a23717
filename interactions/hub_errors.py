"""Turn exceptions of the Hub's client into errors of seqrec, which say what to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from huggingface_hub import constants, get_token
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from seqrec.errors import HubConnectionError, HubError, InputError, SeqrecError
from seqrec.interactions.one_line import one_line

__all__ = ["explain", "explained"]

LOG_IN = "Log in with `hf auth login`, set HF_TOKEN, or pass a token"
OFFLINE = "this needs the Hub, but HF_HUB_OFFLINE=1 forbids access. Unset it, or use a local folder."
NO_NAME = (
    "this is not a valid repository name. Give ORG/NAME of letters, digits, '-', '_' and '.' "
    "(no '--' or '..', no '-' or '.' at either end; at most 96 characters)."
)
LONGEST = 500
CONNECTION = (HTTPError, ConnectionError, TimeoutError)  # HTTPError: also what the client's HTTP library raises


class Trouble(NamedTuple):
    """The class of error to raise, and the reason."""

    kind: type[SeqrecError]
    reason: str


@contextmanager
def explained(repo_id: str, doing: str, *, token: str | bool | None = None) -> Iterator[None]:
    """Turn refusals by the Hub and lost connections into one-line errors; other exceptions pass through.

    Args:
        repo_id: The repository concerned.
        doing: Participle for the message "… could not be …": "pushed", …
        token: The token given, if any.

    Raises:
        InputError: If `repo_id` is not a valid repository name.
        HubError: If the Hub refuses.
        HubConnectionError: If it cannot be reached, or fails.
    """
    try:
        yield
    except SeqrecError:  # explained already
        raise
    except Exception as error:
        trouble = explain(error, token=token)
        if trouble is None:
            raise
        raise trouble.kind(f"{repo_id!r} could not be {doing}: {trouble.reason}") from error


def explain(error: BaseException, *, token: str | bool | None = None) -> Trouble | None:
    """Explain an exception of the Hub's client, or one of its causes; None if it is unrelated to the Hub."""
    has_token = bool(token or (token is None and get_token()))
    cause: BaseException | None = error
    while cause is not None:
        trouble = explain_one(cause, has_token=has_token)
        if trouble is not None:
            return trouble._replace(reason=one_line(trouble.reason, LONGEST))  # the Hub's own words may span several
        cause = cause.__cause__
    return None


def explain_one(error: BaseException, *, has_token: bool) -> Trouble | None:
    """Explain one exception, without its causes; None if it is unrelated to the Hub."""
    if isinstance(error, OfflineModeIsEnabled) or (
        isinstance(error, LocalEntryNotFoundError) and constants.is_offline_mode()
    ):
        return Trouble(HubConnectionError, OFFLINE)
    if isinstance(error, HFValidationError):
        return Trouble(InputError, NO_NAME)
    if isinstance(error, LocalTokenNotFoundError):
        return Trouble(HubError, f"no token was found. {LOG_IN}.")
    if isinstance(error, HfHubHTTPError):
        return explain_answer(error, has_token=has_token)
    if isinstance(error, CONNECTION):
        return Trouble(
            HubConnectionError,
            f"the connection to {constants.ENDPOINT} failed ({error or type(error).__name__}). Check it, then try "
            "again.",
        )
    return None


def explain_answer(error: HfHubHTTPError, *, has_token: bool) -> Trouble | None:
    """Explain the Hub's response; None for a missing file, which the caller can explain better."""
    status = error.response.status_code
    reason = refusal(error, status, has_token=has_token)
    if reason is not None:
        return Trouble(HubError, reason)
    if status == 404:
        return None
    is_temporary = status >= 500 or status in (408, 429)  # timeouts and too many requests
    kind = HubConnectionError if is_temporary else HubError
    return Trouble(kind, f"the Hub answered {status} ({error.server_message or 'without a reason'}).")


def refusal(error: HfHubHTTPError, status: int, *, has_token: bool) -> str | None:
    """Describe the Hub's refusal and what to do about it; None if it did not refuse."""
    if isinstance(error, RevisionNotFoundError):
        return "the revision does not exist. Give the name of one of its branches, a commit's id, or refs/pr/NUMBER."
    if isinstance(error, GatedRepoError):
        return "it is gated. Request access on its page first."
    if isinstance(error, RepositoryNotFoundError):
        if has_token:
            return "the repository does not exist, or the token has no access to it. Check both."
        return f"the repository does not exist, or it is private and needs a token. {LOG_IN}."
    if status == 401:
        if not has_token:
            return f"no token was found. {LOG_IN}."
        return f"the Hub does not accept the token; it may be mistyped or revoked. {LOG_IN} that is valid."
    if status == 403:
        return (
            "the token does not permit this. Use one with write access to this namespace, or propose the files as a "
            "pull request to an existing repository (create_pr)."
        )
    return None
