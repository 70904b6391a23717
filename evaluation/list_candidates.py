"""The best items of each evaluated row, from which re-rankers choose lists.

Shape suffixes: U evaluated rows, B rows of a block, N candidates, K list length, S seen items.
"""

from dataclasses import dataclass

import numpy as np
import torch
from datasets import Dataset

from seqrec.errors import InputError
from seqrec.evaluation.evaluator import Scorer, score_rows
from seqrec.interactions.histories import Histories, as_histories
from seqrec.interactions.history_collator import pad_items
from seqrec.search.interfaces import Encoder, Reranker

__all__ = ["Candidates", "find_candidates"]

ROWS_AT_ONCE = 512  # whose lists are chosen together


@dataclass(frozen=True)
class Candidates:
    """The N best items of each row.

    Attributes:
        rows: The histories, each with a `target`.
        scores_UN: Scores, the highest first, −inf in empty places.
        token_ids_UN: Token ids, 0 in empty places.
    """

    rows: Histories
    scores_UN: np.ndarray
    token_ids_UN: np.ndarray

    def best(self, k: int) -> np.ndarray:
        """Return the k best items of each row: `top_UK`."""
        return self.token_ids_UN[:, :k]

    def choose(self, reranker: Reranker, k: int) -> np.ndarray:
        """Return the lists that a re-ranker chooses from the candidates: `top_UK`.

        Raises:
            InputError: If the re-ranker reads user vectors, which are not kept.
        """
        if reranker.reads_users:
            raise InputError(f"{type(reranker).__name__} reads user vectors, which candidates do not have.")
        lists = []
        for start in range(0, len(self.rows), ROWS_AT_ONCE):
            block = slice(start, start + ROWS_AT_ONCE)
            scores_BN, token_ids_BN = (torch.from_numpy(part[block]) for part in (self.scores_UN, self.token_ids_UN))
            seen_BS = pad_items(self.rows.select(np.arange(start, start + len(scores_BN))))
            _, top_BK = reranker.rank(torch.zeros(len(scores_BN), 0), seen_BS, scores_BN, token_ids_BN, k)
            lists.append(top_BK.numpy())
        return np.concatenate(lists)


def find_candidates(
    ranked: Encoder | Scorer,
    rows: Histories | Dataset,
    *,
    num_candidates: int,
    max_length: int,
    exclude_seen: bool,
    progress: bool = False,
) -> Candidates:
    """Find the best items of each row as in evaluation.

    Args:
        ranked: A model or a baseline.
        rows: See `rank_dataset`.
        num_candidates: N.
        max_length: See `rank_dataset`.
        exclude_seen: Whether to leave out items of the history.
        progress: Whether to show a progress bar.

    Raises:
        InputError: If the rows cannot be ranked; see `rank_dataset`.
        NonFiniteError: If the model's scores are not finite.
    """
    scores_UN = np.zeros((len(rows), num_candidates), dtype=np.float32)
    token_ids_UN = np.zeros((len(rows), num_candidates), dtype=np.int64)
    batches = score_rows(
        ranked, rows, max_length=max_length, exclude_seen=exclude_seen, progress=progress, title="Candidates"
    )
    for found in batches:
        best = found.scores.top_k(num_candidates)
        scores_UN[found.index_B], token_ids_UN[found.index_B] = (part.numpy(force=True) for part in best)
    return Candidates(as_histories(rows, ["input_ids", "target"]), scores_UN, token_ids_UN)
