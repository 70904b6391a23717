"""The errors that seqrec raises on purpose, so that callers can distinguish them.

All are subclasses of `SeqrecError`, and of `ValueError`. Other exceptions are bugs of seqrec or of a library.
"""

__all__ = ["HubConnectionError", "HubError", "InputError", "NonFiniteError", "SavedFolderError", "SeqrecError"]


class SeqrecError(ValueError):
    """Base class of the errors below."""


class InputError(SeqrecError):
    """Arguments, ids or interactions that cannot be used. The message says how to change them."""


class SavedFolderError(SeqrecError):
    """A saved model, checkpoint or prepared set that is incomplete, damaged or of an unexpected kind."""


class HubError(SeqrecError):
    """The Hub refused: the repository or revision does not exist, or access to it is denied."""


class HubConnectionError(HubError, ConnectionError):
    """The Hub could not be reached, or failed. The same call may succeed later."""


class NonFiniteError(SeqrecError):
    """A loss, a weight or a score is infinite or NaN."""
