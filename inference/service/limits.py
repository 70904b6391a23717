"""Limits of the service."""

from dataclasses import dataclass

from seqrec.errors import InputError

__all__ = ["Limits"]


@dataclass(frozen=True)
class Limits:
    """What one request, and all requests together, may ask of the service.

    Attributes:
        body_bytes: Length of a request's body.
        histories: Histories in one request.
        history_length: Items in one history, and in a list of allowed, denied or candidate items for one history.
        k: Length of a list.
        items: Items in one answer: those of all its lists.
        waiting: Histories that may wait for an answer; further requests are refused with status 429.
        batch: Histories of different requests that are answered together; 1 answers each request alone.
        seconds: Time to answer a request, and to receive its body.
    """

    body_bytes: int = 2**21
    histories: int = 1000
    history_length: int = 5000
    k: int = 1000
    items: int = 100_000
    waiting: int = 4000
    batch: int = 64
    seconds: float = 10.0

    def __post_init__(self) -> None:
        if self.waiting < self.histories:
            raise InputError(
                f"max_waiting={self.waiting} is less than max_histories={self.histories}, so the largest requests "
                "could never be answered. Raise it, or lower the other."
            )
