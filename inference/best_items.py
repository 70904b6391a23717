"""Find histories' best items, everything being token ids.

Shape suffixes: B users, K list length.
"""

from collections.abc import Sequence

import numpy as np
import torch

from seqrec.data.collators import HistoryCollator, pad
from seqrec.evaluation.evaluator import Encoder
from seqrec.modeling.modeling_next_item import NextItemHead
from seqrec.modeling.scoring import top_k

BATCH_SIZE = 256
TokenLists = Sequence[np.ndarray]


def best_items(
    model: NextItemHead,
    popularity: Encoder,
    histories: TokenLists,
    k: int,
    *,
    exclude_seen: bool = True,
    allowed: TokenLists | None = None,
    denied: TokenLists | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Find the k best items for each history; an empty history is answered by popularity.

    Histories of like length share a batch, as in evaluation.

    Args:
        model: Answers histories that hold items.
        popularity: Answers the others.
        histories: Token ids of each user's items, oldest first.
        k: Length of the lists.
        exclude_seen: Whether to leave out what is in a history.
        allowed: For each history, the only token ids that may be listed.
        denied: For each history, token ids that may not be listed.

    Returns:
        `scores_BK` and `token_ids_BK`, the latter 0 where nothing was left to recommend.
    """
    scores_BK = np.zeros((len(histories), k), dtype=np.float32)
    token_ids_BK = np.zeros((len(histories), k), dtype=np.int64)
    lengths_B = np.array([len(history) for history in histories])
    for encoder, chosen_B in ((model, lengths_B > 0), (popularity, lengths_B == 0)):
        rows = np.flatnonzero(chosen_B)
        rows = rows[np.argsort(lengths_B[rows], kind="stable")]
        for start in range(0, len(rows), BATCH_SIZE):
            batch = rows[start : start + BATCH_SIZE]
            excluded = [[histories[row] for row in batch]] if exclude_seen else []
            if denied is not None:
                excluded.append([denied[row] for row in batch])
            scores_BK[batch], token_ids_BK[batch] = best_items_of_batch(
                encoder,
                HistoryCollator(model.config.max_position_embeddings)([{"input_ids": histories[row]} for row in batch]),
                k,
                excluded=excluded,
                allowed=None if allowed is None else [allowed[row] for row in batch],
                device=model.device,
            )
    return scores_BK, token_ids_BK


@torch.inference_mode()
def best_items_of_batch(
    encoder: Encoder,
    batch: dict[str, torch.Tensor],
    k: int,
    *,
    excluded: Sequence[TokenLists],
    allowed: TokenLists | None,
    device: torch.device,
) -> tuple[np.ndarray, np.ndarray]:
    """Encode one batch and list its best items; `excluded` are lists of lists that add up."""
    excluded_BS = [pad(lists, fill=0)["input_ids"] for lists in excluded]
    scores_BK, token_ids_BK = top_k(
        encoder.encode_users(batch["input_ids"].to(device), batch["attention_mask"].to(device)),
        encoder.encode_items().to(device),
        k,
        excluded_BS=torch.cat(excluded_BS, dim=1).to(device) if excluded_BS else None,
        allowed_BA=None if allowed is None else pad(allowed, fill=0)["input_ids"].to(device),
    )
    return scores_BK.numpy(force=True), token_ids_BK.numpy(force=True)
