"""Explain scores by integrated gradients (Sundararajan et al., ICML 2017).

Shape suffixes: N explained items, L positions, D hidden size, S steps, P parts of events' vectors.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from seqrec.interactions.histories import Histories
from seqrec.interactions.history_collator import encoder_inputs
from seqrec.interactions.special_tokens import NUM_SPECIAL_TOKENS
from seqrec.modeling.event_parts import event_times
from seqrec.modeling.explanation import BASELINE, RECENT_POPULARITY, Explanation
from seqrec.modeling.explanation_parts import ITEM_ID, event_parts, item_parts
from seqrec.modeling.sequence_layout import SequenceLayout
from seqrec.search.retriever import Retriever

__all__ = ["NUM_STEPS", "integrated_gradients"]

NUM_STEPS = (32, 64, 128, 256, 512)
TOLERANCE = 0.01


class Inputs(NamedTuple):
    """What a model reads of one history, as vectors.

    Attributes:
        parts_PLD: Parts of the vectors at all positions.
        baselines_PLD: Their baselines: the mean over the catalogue for parts of items, 0 for other columns. A mask
            token after the history is its own baseline.
        names: Names of the parts.
        layout: Times of the events.
        num_events: Number of positions that hold events; a mask token may follow.
    """

    parts_PLD: Tensor
    baselines_PLD: Tensor
    names: list[str]
    layout: SequenceLayout
    num_events: int


def integrated_gradients(
    retriever: Retriever, history: Histories, items_ND: Tensor, *, num_steps: Sequence[int] = NUM_STEPS
) -> Explanation:
    """Return the integrals of the scores' gradients on the way from average events to those of the history.

    With the events' vectors x, those of average events x′ and the score F, event l contributes

        Σ_d (x − x′)_ld · ∫₀¹ ∂F(x′ + α (x − x′)) / ∂x_ld dα        (equation 1 of the paper)

    where an average event has the mean vector of the catalogue, and no other columns. It is a better baseline than the
    vector 0, near which layer norms make scores jump. Positions, times and a mask token after the history stay as they
    are, so their share is not known. Counts of recent popularity go from 0 to their values on the same way.

    Contributions, with those in `others`, sum to the score up to 1 % of its distance to `baseline`, or to 0.01: the
    score with average events and counts of 0. The integral is a sum by Gauss–Legendre quadrature of 32 steps, or of up
    to 512 if fewer leave a larger difference. `parts` holds the shares of the items' ids, of each of their features,
    and of the events' other columns.

    Args:
        retriever: What answers requests.
        history: One row with at least one event.
        items_ND: Vectors of the items, from `encode_items`.
        num_steps: Numbers of steps to try in turn, each in one batch.
    """
    inputs = read_inputs(retriever.encoder, retriever.collate_to(retriever.index.device, history))
    for number in num_steps:
        found = integrate(retriever.encoder, inputs, items_ND, number)
        if is_complete(found):
            break
    return found


def is_complete(explanation: Explanation) -> bool:
    """Return whether contributions sum to the scores, within the tolerance."""
    totals_N = explanation.contributions_NL.sum(axis=1) + sum(explanation.others.values())
    distances_N = np.abs(explanation.scores_N - explanation.others[BASELINE])
    return bool((np.abs(totals_N - explanation.scores_N) <= TOLERANCE * np.maximum(distances_N, 1)).all())


def integrate(model: Any, inputs: Inputs, items_ND: Tensor, num_steps: int) -> Explanation:
    """Explain by one number of steps."""
    size = model.config.hidden_size
    points_S, weights_S = quadrature(num_steps, items_ND)
    whole_LD, base_LD = inputs.parts_PLD.sum(dim=0), inputs.baselines_PLD.sum(dim=0)
    way_SLD = base_LD + points_S[:, None, None] * (whole_LD - base_LD)
    with torch.enable_grad():
        way_SLD.requires_grad_()
        users_SD = encode(model, way_SLD, inputs.layout)
        popularity_SN = users_SD[:, size:] @ items_ND[:, size:].T
        scores_SN = users_SD[:, :size] @ items_ND[:, :size].T + points_S[:, None] * popularity_SN
        totals_N = (weights_S[:, None] * scores_SN).sum(dim=0)
        gradients = [torch.autograd.grad(total, way_SLD, retain_graph=True)[0].sum(dim=0) for total in totals_N]
    with torch.no_grad():
        steps_PLD = (inputs.parts_PLD - inputs.baselines_PLD)[:, : inputs.num_events]
        shares_PNL = torch.einsum("pld,nld->pnl", steps_PLD, torch.stack(gradients)[:, : inputs.num_events])
        ends_2D = encode(model, torch.stack([base_LD, whole_LD]), inputs.layout)
        baseline_N = ends_2D[0, :size] @ items_ND[:, :size].T
    parts = dict(zip(inputs.names, shares_PNL.numpy(force=True), strict=True))
    if model.config.item_id_embedding == "none":
        del parts[ITEM_ID]  # only special tokens have such vectors
    others = {BASELINE: baseline_N.numpy(force=True)}
    if model.recent_counts is not None:
        others[RECENT_POPULARITY] = (weights_S @ popularity_SN).numpy(force=True)
    contributions_NL = shares_PNL.sum(dim=0).numpy(force=True)
    scores_N = (ends_2D[1] @ items_ND.T).numpy(force=True)
    return Explanation(scores_N, contributions_NL, parts=parts if len(parts) > 1 else {}, others=others)


@torch.no_grad()
def read_inputs(model: Any, batch: dict[str, Tensor]) -> Inputs:
    """Turn one collated history into the vectors that the model adds up, and their baselines."""
    backbone = model.model
    inputs = encoder_inputs(batch)
    num_events = inputs["input_ids"].shape[1]
    ids_1L, _, columns = model.objective.request(inputs.pop("input_ids"), None, inputs)
    backbone.check_length(ids_1L.shape[1])
    layout = SequenceLayout(None, None, *event_times(backbone.event_columns, columns))
    of_items = item_parts(backbone, ids_1L)
    of_events = event_parts(backbone, ids_1L, columns, layout)
    catalogue = item_parts(backbone, torch.arange(NUM_SPECIAL_TOKENS, model.config.vocab_size, device=ids_1L.device))
    means = [catalogue[name].mean(dim=0).expand_as(part_1LD) for name, part_1LD in of_items.items()]
    parts_PLD = torch.cat([*of_items.values(), *of_events.values()])
    baselines_PLD = torch.cat([*means, *map(torch.zeros_like, of_events.values())])
    baselines_PLD[:, num_events:] = parts_PLD[:, num_events:]
    return Inputs(parts_PLD, baselines_PLD, [*of_items, *of_events], layout, num_events)


def encode(model: Any, events_SLD: Tensor, layout: SequenceLayout) -> Tensor:
    """Return the user vectors (S, D + W) of histories that differ in the vectors of their events."""
    times = (layout.timestamps_BL, layout.request_times_BL)
    repeated = SequenceLayout(None, None, *(one if one is None else one.expand(len(events_SLD), -1) for one in times))
    return model.model.as_users(model.model.encode_sums(events_SLD, repeated, query_position=-1)[:, 0])


def quadrature(num_steps: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return the points between 0 and 1, and the weights, of Gauss–Legendre quadrature: (S,) each."""
    points_S, weights_S = np.polynomial.legendre.leggauss(num_steps)
    return torch.from_numpy((points_S + 1) / 2).to(like), torch.from_numpy(weights_S / 2).to(like)
