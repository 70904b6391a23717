"""The training curve: loss and validation metric by epoch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from seqrec.evaluation.picture_style import BLUE, DARK_GREY, picture

__all__ = ["save_training_curve"]

LOSS_COLOUR, METRIC_COLOUR = DARK_GREY, BLUE

Points = list[tuple[float, float]]


def save_training_curve(log_history: Sequence[dict[str, Any]], path: Path, metric: str = "ndcg@10") -> None:
    """Plot the loss and a validation metric over epochs as a PNG, with the best epoch marked.

    Args:
        log_history: `trainer.state.log_history`.
        path: The file to write.
        metric: Name of the validation metric, such as "ndcg@10".
    """
    losses = [(entry["epoch"], entry["loss"]) for entry in log_history if "loss" in entry]
    metrics = [(entry["epoch"], entry[f"eval_{metric}"]) for entry in log_history if f"eval_{metric}" in entry]
    with picture(path, 7, 4, title="Training loss and validation metric by epoch") as figure:
        draw_curve(figure, losses, metrics, metric)


def draw_curve(figure: Figure, losses: Points, metrics: Points, metric: str) -> None:
    """Draw both curves over epochs, and mark the best epoch."""
    loss_axis = figure.add_subplot()
    loss_axis.set_xlabel("epoch")
    loss_axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    loss_axis.set_ylabel("training loss (nats per item)", color=LOSS_COLOUR)
    if losses:
        loss_axis.plot(*zip(*losses, strict=True), color=LOSS_COLOUR)
    if metrics:
        metric_axis = loss_axis.twinx()
        metric_axis.set_ylabel(f"validation {metric}", color=METRIC_COLOUR)
        metric_axis.plot(*zip(*metrics, strict=True), color=METRIC_COLOUR)
        epoch, best = max(metrics, key=lambda point: point[1])
        metric_axis.plot([epoch], [best], "o", color=METRIC_COLOUR)
        label = f"best: {best:.4f} (epoch {epoch:g})"
        metric_axis.annotate(
            label,
            (epoch, best),
            xytext=(0, -28),
            textcoords="offset points",
            ha="right" if epoch > metrics[-1][0] / 2 else "left",
            color=METRIC_COLOUR,
        )
        metric_axis.set_ylim(0, 1.05 * best or None)  # keeps the marker of the best point inside
        metric_axis.spines[["top"]].set_visible(False)
    loss_axis.spines[["top"]].set_visible(False)
