"""A picture of attention: which items of a history each layer and head looks at.

Shape suffixes: H heads, L positions, D hidden size.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.image import AxesImage

from seqrec.errors import InputError
from seqrec.evaluation.picture_style import LIGHT_GREY, WIDTH, picture, readable_names
from seqrec.inference.recommender import Recommender
from seqrec.interactions.history_collator import encoder_inputs
from seqrec.interactions.item_rows import rows_of
from seqrec.interactions.raw_ids import ItemIds
from seqrec.interactions.request_reading import Requests, read_requests
from seqrec.modeling.modeling_next_item import NextItemHead

__all__ = ["attention_weights", "save_attention"]

MOST_POSITIONS = 20
MOST_PANELS = 4  # side by side, and one above the other
NAME_WIDTH = 26
NEXT = "(next item)"  # the mask token that models of masked items fill in


def save_attention(recommender: Recommender, history: ItemIds, path: str | Path, **request: Any) -> None:
    """Draw the attention weights of each layer and head over one history, as a PNG.

    Each row of a panel is a position of the history, and shows which positions it looks at. Of long histories, the
    newest 20 positions are shown; of larger models, the last 4 layers and the first 4 heads.

    Args:
        recommender: A model.
        history: Raw ids of one user's items, oldest first.
        path: The file to write.
        **request: `timestamps`, `at`, `unsorted`, `unknown` and `columns`; see `read_requests`.

    Raises:
        InputError: If the model has no attention weights that sum to 1, as HSTU and networks that are no Transformers,
            or the history is not one with a known item; otherwise as in `Recommender.recommend`.
    """
    weights, names = attention_weights(recommender, history, **request)
    num_layers, num_heads, num_positions = len(weights), weights[0].shape[0], weights[0].shape[1]
    shown_layers = range(num_layers)[-MOST_PANELS:]
    shown_heads = range(num_heads)[:MOST_PANELS]
    names = names[-MOST_POSITIONS:]
    begin = num_positions - len(names)
    height = 0.9 + len(shown_layers) * (0.5 + 0.135 * max(len(names), 6))
    with picture(path, WIDTH, height, title="Attention by layer and head") as figure:
        figure.suptitle(
            "Where each item (row, oldest first) looks: attention weights"
            + limits(len(names), num_positions, len(shown_layers), num_layers, len(shown_heads), num_heads),
            x=0.02,
            ha="left",
            fontsize=10,
        )
        axes = figure.subplots(len(shown_layers), len(shown_heads), squeeze=False, sharex=True, sharey=True)
        for row, layer in enumerate(shown_layers):
            for column, head in enumerate(shown_heads):
                axis = axes[row, column]
                image = draw_head(axis, weights[layer][head, begin:, begin:])
                axis.set_title(f"layer {layer + 1}, head {head + 1}", fontsize=8)
        axes[0, 0].set_yticks(range(len(names)), [f"{name}  {place}" for place, name in numbered(names)])
        ticks = range(0, len(names), max(1, len(names) // 4))
        axes[0, 0].set_xticks(ticks, [str(tick + 1) for tick in ticks])
        bar = figure.colorbar(image, ax=axes, pad=0.01, aspect=40, ticks=[0, 0.05, 0.2, 0.5, 1])
        bar.ax.set_yticklabels(["0", "0.05", "0.2", "0.5", "1"])
        bar.ax.tick_params(labelsize=8)
        bar.outline.set_visible(False)


def attention_weights(recommender: Recommender, history: ItemIds, **request: Any) -> tuple[list[np.ndarray], list[str]]:
    """Return the attention weights (H, L, L) of each layer over a history, and the names of its positions.

    For arguments and errors, see `save_attention`.
    """
    model = recommender.model
    if not model.uses_attention:
        raise InputError(
            f"The model ({model.config.model_type}) has no attention weights that sum to 1, so there is nothing to "
            "draw. Draw the contributions of the items instead."
        )
    requests = read_requests(
        history, recommender.tokenizer.look_up, wanted_columns=recommender.retriever.columns, **request
    )
    require_one(requests)
    batch = encoder_inputs(recommender.retriever.collate_to(model.device, requests.histories))
    input_ids, mask, columns = model.objective.request(batch.pop("input_ids"), batch.pop("attention_mask", None), batch)
    with torch.no_grad(), eager_attention(model):
        found = model.model(input_ids, attention_mask=mask, output_attentions=True, **columns)
    rows = rows_of(input_ids[0]).tolist()
    items = recommender.items
    titles = [items.titles[row] if row >= 0 else NEXT for row in rows]
    shown = readable_names(titles, [items.item_ids[max(row, 0)] for row in rows], NAME_WIDTH)
    return [weights_BHLL[0].float().numpy(force=True) for weights_BHLL in found.attentions], shown


@contextmanager
def eager_attention(model: NextItemHead) -> Iterator[None]:
    """Let a model compute attention weights, which only the eager implementation returns."""
    before = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def require_one(requests: Requests) -> None:
    """Raise an `InputError` unless there is one history, with a known item."""
    if not requests.is_single:
        raise InputError(f"{len(requests.histories)} histories were given, but a picture shows one. Give one of them.")
    if not requests.histories.lengths_R[0]:
        raise InputError("The history holds no known item, so there is nothing to draw. Give at least one.")


def draw_head(axis: Axes, weights_LL: np.ndarray) -> AxesImage:
    """Draw the weights of one head; small weights are visible, as the scale is that of their square roots."""
    axis.tick_params(length=0, labelsize=7)
    axis.spines[:].set_color(LIGHT_GREY)
    return axis.imshow(weights_LL, cmap="Blues", norm=PowerNorm(0.5, vmin=0, vmax=1), aspect="auto")


def numbered(names: Sequence[str]) -> list[tuple[int, str]]:
    """Number names from 1."""
    return list(enumerate(names, start=1))


def limits(shown_positions: int, positions: int, shown_layers: int, layers: int, shown_heads: int, heads: int) -> str:
    """Say which part of the weights is shown, if not all are."""
    parts = [
        f"the newest {shown_positions} of {positions} positions" if shown_positions < positions else "",
        f"the last {shown_layers} of {layers} layers" if shown_layers < layers else "",
        f"the first {shown_heads} of {heads} heads" if shown_heads < heads else "",
    ]
    told = ", ".join(filter(None, parts))
    return f"\n({told})" if told else ""
