"""Explain scores by attention weights.

Shape suffixes: N explained items, L positions, D hidden size, H heads.
"""

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from seqrec.errors import InputError
from seqrec.interactions.histories import Histories
from seqrec.interactions.history_collator import encoder_inputs
from seqrec.modeling.explanation import Explanation, scored
from seqrec.search.retriever import Retriever

__all__ = ["attention_rollout", "last_attention"]


def attention_rollout(retriever: Retriever, history: Histories, items_ND: Tensor) -> Explanation:
    """Return the share of each event in the user's vector if layers only passed on what they attend to.

    With the mean A of a layer's attention weights over its heads, the layers multiply ½ A + ½ I, where I stands for the
    residual connection (Abnar & Zuidema, ACL 2020). The shares are those of the user's position. They are not
    negative, sum to 1 with that of a mask token, and are the same for all items: they say where the model looks, not
    what speaks for an item.

    Args:
        retriever: What answers requests.
        history: One row with at least one event.
        items_ND: Vectors of the items, from `encode_items`.

    Raises:
        InputError: If the architecture has no attention weights that sum to 1. Those of HSTU, SiLU(QKᵀ) / n, are no
            shares: they can be negative and have any sum.
    """
    *layers, last_1L = attentions(retriever, history, "attention_rollout")
    share_1L = last_1L / 2
    share_1L[:, -1] += 0.5
    for weights_LL in reversed(layers):
        share_1L = share_1L @ weights_LL / 2 + share_1L / 2
    return same_for_all(retriever, history, items_ND, share_1L)


def last_attention(retriever: Retriever, history: Histories, items_ND: Tensor) -> Explanation:
    """Return the attention weights of the last layer at the user's position; for arguments, see `attention_rollout`."""
    return same_for_all(retriever, history, items_ND, attentions(retriever, history, "last_attention")[-1])


def same_for_all(retriever: Retriever, history: Histories, items_ND: Tensor, share_1L: Tensor) -> Explanation:
    """Give all items the shares of the events, without that of a mask token."""
    num_events = min(int(history.lengths_R[0]), retriever.max_length)
    shares_NL = np.repeat(share_1L[:, :num_events].numpy(force=True), len(items_ND), axis=0)
    return Explanation(scored(retriever.encode(history), items_ND)[0], shares_NL)


@torch.no_grad()
def attentions(retriever: Retriever, history: Histories, method: str) -> list[Tensor]:
    """Return each layer's attention weights (L, L), averaged over heads; (1, L) for the last layer.

    Raises:
        InputError: If the architecture has none that sum to 1.
    """
    model: Any = retriever.encoder
    if not model.uses_attention:
        raise InputError(
            f"method={method!r} needs attention weights that sum to 1, which {model.config.model_type!r} does not "
            "compute. Use 'leave_one_out' or 'integrated_gradients'."
        )
    inputs = encoder_inputs(retriever.collate_to(retriever.index.device, history))
    ids_1L, _, columns = model.objective.request(inputs.pop("input_ids"), None, inputs)
    outputs = eager_twin(model.model)(ids_1L, query_position=-1, output_attentions=True, **columns)
    return [weights_1HLL[0].float().mean(dim=0) for weights_1HLL in outputs.attentions]


def eager_twin(backbone: nn.Module) -> Any:
    """Return a copy of a backbone that returns attention weights; the backbone stays as it is.

    Both share all weights, and the item encoder, which may keep vectors of the items.
    """
    tensors = [*backbone.parameters(), *backbone.buffers()]
    shared: dict[int, Any] = {id(one): one for one in (*tensors, backbone.item_embedding)}
    twin: Any = copy.deepcopy(backbone, shared)
    twin.set_attn_implementation("eager")
    return twin
