"""Give a model more items: known ones keep their token ids, weights and scores.

Shape suffixes: N new items, S ids of similar items, D hidden size, V vocabulary.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from seqrec.errors import InputError
from seqrec.interactions.raw_ids import Encode
from seqrec.interactions.special_tokens import UNK_ID

__all__ = ["SEPARATOR", "SIMILAR_TO", "SimilarItems", "find_similar", "grown_model", "has_id_embedding"]

SIMILAR_TO = "similar_to"  # column of new items' tables
SEPARATOR = "|"


@dataclass(frozen=True)
class SimilarItems:
    """Known items that resemble new ones.

    Attributes:
        token_ids_S: Token ids of the items similar to the first new item, to the second, ….
        counts_N: How many of them each new item has.
    """

    token_ids_S: np.ndarray
    counts_N: np.ndarray

    def means(self, weight_VD: Tensor) -> Tensor:
        """Average the rows of a table of weights for each new item: (N, D); zeros for items without a similar one."""
        rows_SD = weight_VD[torch.as_tensor(self.token_ids_S, device=weight_VD.device)].float()
        starts_N = torch.as_tensor(self.counts_N.cumsum() - self.counts_N, device=weight_VD.device)
        places_S = torch.arange(len(rows_SD), device=weight_VD.device)
        return nn.functional.embedding_bag(places_S, rows_SD, starts_N, mode="mean").to(weight_VD.dtype)


def find_similar(lists: Sequence[Sequence[str]], item_ids: Any, look_up: Encode, *, is_required: bool) -> SimilarItems:
    """Look up the known items that new ones resemble.

    Args:
        lists: The raw ids of the items similar to each new one.
        item_ids: The ids of the new items, for errors.
        look_up: Turns raw ids into token ids, `UNK_ID` for unknown items.
        is_required: Whether each new item must name one.

    Raises:
        InputError: If an id is of no known item or, if similar items are required, a new item names none.
    """
    counts_N = np.array([len(ids) for ids in lists], dtype=np.int64)
    if is_required and not counts_N.all():
        raise InputError(
            f"{(counts_N == 0).sum()} of {len(item_ids)} new items name no similar item (first: "
            f"'{item_ids[int((counts_N == 0).argmax())]}'). Fill in the column {SIMILAR_TO} with ids of known items, "
            f"separated by '{SEPARATOR}', or leave these items out."
        )
    names = [name for ids in lists for name in ids]
    token_ids_S = look_up(names)
    unknown = np.flatnonzero(token_ids_S == UNK_ID)
    if len(unknown):
        item_id = item_ids[int(np.searchsorted(counts_N.cumsum(), unknown[0], side="right"))]
        raise InputError(
            f"{len(unknown)} of {len(names)} ids in {SIMILAR_TO} are of no known item (first: "
            f"'{names[unknown[0]]}', of item '{item_id}'). Name items that the model knows."
        )
    return SimilarItems(token_ids_S, counts_N)


def has_id_embedding(model: Any) -> bool:
    """Return whether a model has an embedding of each item's id."""
    return model.config.item_id_embedding != "none"


def grown_model(
    model: Any,
    vocab_size: int,
    counts_V: np.ndarray,
    values: Mapping[str, np.ndarray] | None,
    similar: SimilarItems | None,
) -> Any:
    """Return a copy of a model with more items.

    Args:
        model: The model.
        vocab_size: Token ids of all items, with special tokens.
        counts_V: Training interactions of each token id.
        values: The new items' features, if the model reads any; see `NextItemBackbone.set_feature_values`.
        similar: The known items that new ones resemble, whose embeddings and biases are averaged; those of new ids are
            otherwise zeros.
    """
    known = model.config.vocab_size
    grown = copy.deepcopy(model)
    grown.resize_token_embeddings(vocab_size, mean_resizing=False)
    if values is not None:
        grown.set_feature_values(values, first_row=model.config.num_items)
    if similar is not None:
        with torch.no_grad():
            for weight_VD in tables_of_items(grown):
                weight_VD[known:] = similar.means(weight_VD)
    grown.set_item_counts(counts_V)
    return grown.eval()


def tables_of_items(model: Any) -> list[Tensor]:
    """Return the tables of a model with a row of weights for each token id: its embedding, and what tasks know."""
    heads = [] if model.task_heads is None else [head.id_bias.weight for _, head in model.task_heads.items()]
    past_labels = [model.model.event_parts[task].item_means_V[:, None] for task in model.config.past_labels]
    return [model.get_input_embeddings().weight, *heads, *past_labels]
