"""Rank a data set's held-out items against the full catalogue, one batch of users at a time.

Shape suffixes: U evaluated rows, B rows of a batch, K list length, D hidden size, V vocabulary.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from datasets import Dataset
from torch import Tensor
from tqdm.auto import tqdm

from seqrec.errors import InputError, NonFiniteError
from seqrec.evaluation.metrics import list_metrics, ranking_metrics
from seqrec.evaluation.targets import require_rankable
from seqrec.interactions.histories import Histories, as_histories
from seqrec.interactions.history_collator import HistoryCollator, batches_of_like_length, encoder_inputs
from seqrec.interactions.item_rows import by_row
from seqrec.interactions.required_times import require_request_times, require_seconds
from seqrec.search.interfaces import Encoder
from seqrec.search.scoring import Scores

__all__ = ["BAR_DELAY", "Ranking", "ScoredRows", "Scorer", "rank_dataset", "score_rows"]

DEFAULT_KS = (1, 5, 10, 20)
BAR_DELAY = 0.5  # seconds; shorter rankings need no progress bar


@runtime_checkable
class Scorer(Protocol):
    """A model or baseline that scores the catalogue for a batch of histories, by vectors or by other means.

    If it has an attribute `row_columns`, it also gets these columns, with one value per history (B,).
    """

    @property
    def device(self) -> torch.device:
        """The device that histories must be on."""
        ...

    @property
    def vocab_size(self) -> int:
        """V, the number of token ids that are scored."""
        ...

    def score_users(self, input_ids: Tensor, attention_mask: Tensor | None = None, **columns: Tensor) -> Scores:
        """Score the catalogue for histories (B, L); `columns` are further event columns (B, L)."""
        ...


class EncoderScorer:
    """Score users by an encoder, whose items are encoded once. A model is left in evaluation mode.

    Raises:
        NonFiniteError: By `score_users`, if scores are not finite: in metrics, they would just look bad.
    """

    def __init__(self, encoder: Encoder) -> None:
        if isinstance(encoder, torch.nn.Module):
            encoder.eval()  # a Trainer switches it back before its next step
        self.encoder = encoder
        self.items_VD = encoder.encode_items()
        self.device = self.items_VD.device
        self.vocab_size = len(self.items_VD)
        self.longest = by_row(self.items_VD).float().norm(dim=1).max()

    def score_users(self, **inputs: Tensor) -> Scores:
        """Multiply the vectors of the histories with those of the items."""
        users_BD = self.encoder.encode_users(**inputs)
        self.require_finite(users_BD)
        return Scores.of_vectors(users_BD, self.items_VD)

    def require_finite(self, users_BD: Tensor) -> None:
        """Raise a `NonFiniteError` if a score could be infinite or NaN."""
        if not (users_BD.float().norm(dim=1).max() * self.longest).isfinite():  # no score is larger than this
            raise NonFiniteError(
                "The model's scores are not finite (NaN or infinite): its weights are damaged, or its training "
                "diverged. Use an earlier checkpoint, or train again with a lower learning rate."
            )


class PastScorer(EncoderScorer):
    """Score requests as of their own day by a model that reads recent popularity, whose counts differ from day to day.

    Raises:
        InputError: By `score_users`, if the model has no events to count (see `NextItemHead.set_events`).
    """

    encoder: Any  # a NextItemHead

    def score_users(self, **inputs: Tensor) -> Scores:
        """Multiply the vectors, and add the terms of recent popularity."""
        users_BD = self.encoder.encode_users(**inputs)
        self.require_finite(users_BD)
        size = self.encoder.config.hidden_size
        scores = Scores.of_vectors(users_BD[:, :size], self.items_VD[:, :size])
        return scores.plus(self.encoder.recent_scores(users_BD, **inputs))


def as_scorer(ranked: Encoder | Scorer) -> Scorer | EncoderScorer:
    """Return a baseline as it is, or the scorer of a model."""
    if isinstance(ranked, Scorer):
        return ranked
    reads_counts = bool(getattr(getattr(ranked, "config", None), "popularity_windows", None))
    return PastScorer(ranked) if reads_counts else EncoderScorer(ranked)


@dataclass(frozen=True)
class Ranking:
    """The result of ranking a data set, in the order of its rows.

    `ranks_U` holds the rank of each row's target (1 is best, `NOT_RANKED` if it cannot be recommended), `top_UK` the
    token ids of each row's best K items, with 0 where fewer can be recommended.
    """

    ranks_U: np.ndarray
    top_UK: np.ndarray

    def metrics(self, item_counts_V: np.ndarray, ks: tuple[int, ...] = DEFAULT_KS) -> dict[str, float]:
        """Average all metrics of ranks and lists, as `{"ndcg@10": …}`.

        List metrics are computed for those `ks` that do not exceed the length of the lists.
        """
        list_ks = [k for k in ks if k <= self.top_UK.shape[1]]
        return {**ranking_metrics(self.ranks_U, ks), **list_metrics(self.top_UK, item_counts_V, list_ks)}


@dataclass(frozen=True)
class ScoredRows:
    """One batch of rows with their scores: where the rows are, their tensors on the scorer's device, and the scores."""

    index_B: np.ndarray
    batch: dict[str, Tensor]
    scores: Scores


@torch.no_grad()
def rank_dataset(
    ranked: Encoder | Scorer,
    rows: Histories | Dataset,
    *,
    max_length: int,
    exclude_seen: bool = True,
    list_length: int = 20,
    batch_size: int = 256,
    progress: bool = False,
) -> Ranking:
    """Rank the target of each row and list its best items, exactly as in serving.

    Rows are processed in the order of their length, so that batches have little padding. Memory is bounded by the
    scores of one batch over one chunk of the catalogue. A model is left in evaluation mode.

    Args:
        ranked: A model or a baseline.
        rows: Full histories with the event columns that the model reads, and a `target` each; with a
            `target_timestamp` too for a model with `request_time="target"`, which is told it.
        max_length: Number of newest items that the model reads, at least 1. Seen items are those of the full history.
        exclude_seen: Whether to leave items of the history out of the ranking. A target among them then has the rank
            `NOT_RANKED`, which unknown items always have.
        list_length: K, the number of best items to list.
        batch_size: Maximum number of rows encoded at once.
        progress: Whether to show a progress bar.

    Raises:
        InputError: If there are no rows, a column is missing, the rows cannot be ranked (see `require_rankable`), or
            `max_length` or `list_length` is out of range.
        NonFiniteError: If the model's scores are not finite.
    """
    if max_length < 1 or list_length < 0:
        raise InputError(
            f"max_length must be at least 1, got {max_length}, and list_length at least 0, got {list_length}."
        )
    ranks_U = np.zeros(len(rows), dtype=np.int64)
    top_UK = np.zeros((len(rows), list_length), dtype=np.int64)
    batches = score_rows(
        ranked, rows, max_length=max_length, exclude_seen=exclude_seen, batch_size=batch_size, progress=progress
    )
    for found in batches:
        ranks_U[found.index_B] = found.scores.rank(found.batch["targets"]).cpu()
        if list_length:
            top_UK[found.index_B] = found.scores.top_k(list_length)[1].cpu()
    return Ranking(ranks_U, top_UK)


@torch.no_grad()
def score_rows(
    ranked: Encoder | Scorer,
    rows: Histories | Dataset,
    *,
    max_length: int,
    exclude_seen: bool,
    batch_size: int = 256,
    progress: bool = False,
    title: str = "Ranking",
) -> Iterator[ScoredRows]:
    """Yield batches of rows of similar length with their scores; for arguments and errors, see `rank_dataset`."""
    scorer = as_scorer(ranked)
    columns = tuple(getattr(getattr(ranked, "config", None), "event_columns", ("input_ids",)))  # baselines read items
    row_columns = tuple(getattr(scorer, "row_columns", ()))
    histories = as_histories(rows, [*columns, *row_columns, "target"])
    require_rankable(histories, scorer.vocab_size)
    require_seconds(histories, columns)
    require_request_times(histories.rows, columns)
    batches = list(batches_of_like_length(np.minimum(histories.lengths_R, max_length), batch_size))
    collate = HistoryCollator(max_length, columns)
    bar = {"leave": False, "dynamic_ncols": True, "delay": BAR_DELAY}
    for index_B in tqdm(batches, desc=title, disable=not progress, **bar):
        batch = collate(histories.select(index_B))
        batch = {name: tensor.to(scorer.device) for name, tensor in batch.items()}
        of_rows = {name: torch.from_numpy(histories.rows[name][index_B]) for name in row_columns}
        found = scorer.score_users(**encoder_inputs(batch), **of_rows)
        yield ScoredRows(index_B, batch, found.masked(batch["seen_ids"] if exclude_seen else None))
