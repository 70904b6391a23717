"""Sessions: histories that grow by one event at a time, and of which a causal model computes only what is new.

Shape suffixes: R sessions, D size of a user vector.
"""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache

from seqrec.errors import InputError
from seqrec.inference.recommendations import Recommendations
from seqrec.interactions.histories import Histories
from seqrec.interactions.history_collator import encoder_inputs
from seqrec.interactions.item_rows import rows_of
from seqrec.interactions.raw_ids import Unknown, encode_lists
from seqrec.interactions.request_reading import AllowDeny, Requests, read_requests
from seqrec.interactions.seconds import spelled
from seqrec.interactions.timed_requests import ask_at, one_kind_of_zone

__all__ = ["Session", "as_one", "encode_sessions", "requests_of", "sessions_in"]

MAX_ROWS = 256
MAX_KEYS = 2**16  # of all sessions computed at once


class Session:
    """A user's history that grows, made by `Recommender.session`.

    A causal model whose positions are "rotary" or "relative" computes only the events that were added since the last
    list: it keeps the keys and values of earlier ones, 2 · layers · `hidden_size` numbers for each event. The lists are
    those of `recommend` for the whole history. With learned positions, which count back from the newest event, each new
    event changes the states of all others; so it does in BERT4Rec, whose events see later ones. Sessions of these
    models compute whole histories, as do those longer than the model reads.

    A session belongs to one thread at a time.

    Attributes:
        events: The known items of the history, as token ids, and the further columns that the model reads.
        unknown_items: Raw ids of unknown items, which were left out.
    """

    def __init__(
        self, recommender: Any, events: Histories, unknown_items: Sequence[str], has_zone: bool | None
    ) -> None:
        self.recommender = recommender
        self.events = events
        self.unknown_items = list(unknown_items)
        self.has_zone = has_zone
        self.forget()

    def __len__(self) -> int:
        return int(self.events.lengths_R[0])

    def __repr__(self) -> str:
        return f"Session({len(self)} events)"

    @property
    def item_ids(self) -> list[str]:
        """Raw ids of the known items, oldest first."""
        names = self.recommender.items.item_ids
        return [names[row] for row in rows_of(self.events["input_ids"][0]).tolist()]

    @property
    def uses_cache(self) -> bool:
        """Whether only new events are computed, rather than the whole history."""
        return self.recommender.model.supports_cache and 0 < len(self) <= self.recommender.retriever.max_length

    def add(self, item_id: Any, *, at: Any = None, unknown: Unknown = "skip", **columns: Any) -> None:
        """Add the newest event.

        Args:
            item_id: The raw id of its item.
            at: When it happened: a time as in `recommend`, or `"now"`. Required by models that read times, ignored by
                others.
            unknown: `"skip"` to leave out an unknown item with a warning, `"error"` to raise.
            **columns: The values of the further columns that the model reads, such as `device="tv"`.

        Raises:
            InputError: If the id is none, a column or the time is missing or cannot be read, the time is before that of
                the last event, or, with `unknown="error"`, the item is unknown. The session then stays as it was.
        """
        new = read_requests(
            [item_id],
            self.recommender.tokenizer.look_up,
            timestamps=self.time_of_event(at),
            columns={name: [value] for name, value in columns.items()},
            wanted_columns=self.recommender.retriever.columns,
            unknown=unknown,
            is_asked=False,
        )
        if not new.is_single:
            raise InputError(f"Add one item at a time, by its id, rather than {item_id!r:.60}.")
        has_zone = one_kind_of_zone([self.has_zone, new.has_zone])
        if len(self) and len(new.histories.columns.get("timestamps", ())):
            require_later(new.histories.columns["timestamps"][0], self.events.columns["timestamps"][-1])
        grown = {name: np.append(self.events.columns[name], values) for name, values in new.histories.columns.items()}
        self.events, self.has_zone = as_one(grown), has_zone
        self.unknown_items += new.unknown_items[0]

    def time_of_event(self, at: Any) -> list[Any] | None:
        """Return the time of one event, for `read_requests`."""
        if "timestamps" not in self.recommender.retriever.columns:
            return None
        if at is None:
            raise InputError("The model reads when events happened. Pass at=, the time of this event, or at='now'.")
        return [time.time() if isinstance(at, str) and at.strip().lower() == "now" else at]

    def recommend(self, k: int = 10, **options: Any) -> Recommendations:
        """Recommend for the history so far.

        Args:
            k: Number of items to recommend.
            **options: Further options of `Recommender.recommend`: `at`, `allow`, `where`, `diversity`, …

        Raises:
            InputError: As in `recommend`.
            NonFiniteError: If scores are infinite or NaN.
        """
        return self.recommender.recommend(self, k, **options)

    def forget(self) -> None:
        """Discard what was computed; the history stays."""
        self.cache = DynamicCache()
        self.model: Any = None
        self.user_1D: Tensor | None = None

    def prepare(self) -> bool:
        """Discard what was computed by another model, or cannot be continued; return whether anything is new."""
        if self.model is not self.recommender.model or not self.uses_cache:
            self.forget()
            self.model = self.recommender.model
        return self.user_1D is None or self.cache.get_seq_length() < len(self)


def as_one(columns: dict[str, np.ndarray]) -> Histories:
    """Return the events of one history."""
    return Histories(columns, np.zeros(1, dtype=np.int64), np.array([len(columns["input_ids"])]))


def require_later(time_of_new: float, time_of_last: float) -> None:
    """Raise an `InputError` if an event is earlier than the last one."""
    if time_of_new < time_of_last:
        raise InputError(
            f"The event of {spelled(time_of_new)} is earlier than the last one of the session, of "
            f"{spelled(time_of_last)} (UTC). Add events in the order of time, or begin a new session with all of them."
        )


def sessions_in(history: Any) -> list[Session]:
    """Return a session, or a list of them, as a list; an empty list for histories of raw ids."""
    if isinstance(history, Session):
        return [history]
    if isinstance(history, list | tuple) and len(history) > 0 and isinstance(history[0], Session):
        if not all(isinstance(one, Session) for one in history):
            raise InputError("Some of the histories are sessions and others are not. Ask for them in two calls.")
        return list(history)
    return []


def requests_of(
    sessions: Sequence[Session],
    *,
    is_single: bool,
    at: Any,
    allow: AllowDeny,
    deny: AllowDeny,
    given: dict[str, Any],
) -> Requests:
    """Return the requests of sessions, as `read_requests` does for raw ids.

    Args:
        sessions: At least one, all of one recommender.
        is_single: Whether one session was given, rather than a list.
        at: See `recommend`.
        allow: See `recommend`.
        deny: See `recommend`.
        given: Arguments of `recommend` that describe events, which sessions know: all must be None.

    Raises:
        InputError: If events are described again, a session occurs more than once, or sessions are of different
            recommenders; otherwise as in `read_requests`.
    """
    for name, values in given.items():
        if values is not None:
            raise InputError(f"A session knows its events, so leave {name} out.")
    owner = sessions[0].recommender
    if any(session.recommender is not owner for session in sessions):
        raise InputError("The sessions are of different recommenders. Ask each recommender for its own.")
    if len(set(map(id, sessions))) < len(sessions):
        raise InputError("A session occurs more than once. Give each session once.")
    columns = {name: [session.events[name][0] for session in sessions] for name in sessions[0].events.columns}
    histories = sessions[0].events if len(sessions) == 1 else Histories.from_lists(columns)
    has_zone = one_kind_of_zone([session.has_zone for session in sessions])
    return Requests(
        ask_at(histories, at, owner.retriever.columns, is_single=is_single, has_zone=has_zone),
        [list(session.unknown_items) for session in sessions],
        is_single,
        encode_lists(allow, len(sessions), owner.tokenizer.look_up, where="allow"),
        encode_lists(deny, len(sessions), owner.tokenizer.look_up, where="deny"),
    )


def encode_sessions(sessions: Sequence[Session], histories: Histories) -> Tensor | None:
    """Return the user vectors (R, D) of sessions, computing only what is new; None if all compute whole histories.

    Args:
        sessions: All of one recommender.
        histories: Their histories, with the times of the requests if the model reads them.
    """
    retriever = sessions[0].recommender.retriever.in_torch
    is_new = [session.prepare() for session in sessions]
    if not any(session.uses_cache for session in sessions):
        return None
    whole = [row for row, session in enumerate(sessions) if not session.uses_cache]
    reads_request = "request_times" in retriever.columns
    growing = [row for row, session in enumerate(sessions) if session.uses_cache and (is_new[row] or reads_request)]
    with torch.inference_mode():
        for rows in batches(sessions, growing):
            extend([sessions[row] for row in rows], histories.select(rows), drop_newest=reads_request)
        if whole:
            for row, user_1D in zip(whole, retriever.encode(histories.select(whole)).split(1), strict=True):
                sessions[row].user_1D = user_1D
        return torch.cat([session.user_1D for session in sessions if session.user_1D is not None])


def batches(sessions: Sequence[Session], rows: Sequence[int]) -> Iterator[list[int]]:
    """Group sessions that are about equally long and have about as many new events."""
    num_new = {row: len(sessions[row]) - sessions[row].cache.get_seq_length() for row in rows}
    batch: list[int] = []
    longest = 0
    for row in sorted(rows, key=lambda row: (num_new[row], len(sessions[row]))):
        longest = max(longest, len(sessions[row]))
        is_full = len(batch) == MAX_ROWS or (len(batch) + 1) * longest > MAX_KEYS
        if batch and (is_full or num_new[row] > 2 * num_new[batch[0]]):
            yield batch
            batch, longest = [], len(sessions[row])
        batch.append(row)
    if batch:
        yield batch


def extend(sessions: Sequence[Session], histories: Histories, *, drop_newest: bool) -> None:
    """Compute the new events of sessions, and their user vectors.

    Args:
        sessions: The sessions.
        histories: Their whole histories.
        drop_newest: Whether the newest event's state depends on the request, and so is not kept.
    """
    model, retriever = sessions[0].recommender.model, sessions[0].recommender.retriever
    inputs = encoder_inputs(retriever.collate_to(model.device, histories))
    try:
        users_RD = model.encode_users_with_cache([session.cache for session in sessions], **inputs)
    except BaseException:
        for session in sessions:
            session.forget()
        raise
    for session, user_1D in zip(sessions, users_RD.split(1), strict=True):
        session.user_1D = user_1D
        if drop_newest:
            session.cache.crop(-1)
