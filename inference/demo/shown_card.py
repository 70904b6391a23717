"""What the page tells of the model besides its items: its architecture, its metric, and its card."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqrec.inference.recommender import Recommender

__all__ = ["ShownCard", "card_of"]

FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
PICTURES = re.compile(r"!\[[^\]]*\]\([^)]*\)|<img\b[^>]*>", re.IGNORECASE)  # of the folder, or from elsewhere
HUB = "https://huggingface.co"
ANCHOR = "#model-card"
METRIC = "ndcg@10"


@dataclass(frozen=True)
class ShownCard:
    """What the page tells of the model.

    Attributes:
        facts: Its architecture, and its metric if that is known.
        address: Address of its card; empty if it has none.
        text: The card as Markdown, if it is in a folder; empty otherwise.
    """

    facts: tuple[str, ...]
    address: str = ""
    text: str = ""


def card_of(name_or_path: str, recommender: Recommender) -> ShownCard:
    """Return what to tell of a model.

    Args:
        name_or_path: Its folder, or its repository on the Hub.
        recommender: The model.
    """
    facts = (recommender.model.config.display_name, *metric_of(recommender.metrics))
    folder = Path(name_or_path)
    if not folder.is_dir():
        return ShownCard(facts, f"{HUB}/{name_or_path}")
    path = folder / "README.md"
    text = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
    shown = PICTURES.sub("", FRONT_MATTER.sub("", text)).strip()
    return ShownCard(facts, ANCHOR if shown else "", shown)


def metric_of(metrics: Any) -> tuple[str, ...]:
    """Return the metric of the test split as text; nothing if it is unknown."""
    model = (metrics or {}).get("model")
    test = model.get("test") if isinstance(model, dict) else None
    value = test.get(METRIC) if isinstance(test, dict) else None
    return (f"test {METRIC.upper()} {value:.3f}",) if isinstance(value, float) else ()
