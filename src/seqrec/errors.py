"""The errors that seqrec raises on purpose, so that callers can tell them apart.

All are `SeqrecError`s, and `ValueError`s too. Other exceptions are faults of seqrec or of a library.
"""


class SeqrecError(ValueError):
    """Anything below."""


class InputError(SeqrecError):
    """Arguments, ids or interactions that cannot be used. The message says how to change them."""


class SavedFolderError(SeqrecError):
    """A saved model, checkpoint or prepared set that is incomplete, damaged or of another kind than expected."""


class HubError(SeqrecError):
    """The Hub refused: there is no such repository or revision, or no right to it."""


class HubConnectionError(HubError, ConnectionError):
    """The Hub could not be reached, or failed. The same call may succeed later."""


class NonFiniteError(SeqrecError):
    """A loss, a weight or a score is infinite or not a number."""
