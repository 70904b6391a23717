"""The summary printed after a training: metrics, example recommendations, and the next command to try."""

import os
import sys
from collections.abc import Sequence

from seqrec.cli.parsers import join_ids, shell_command
from seqrec.evaluation.tables import align, metrics_table, printable
from seqrec.inference.recommendations import Recommendation
from seqrec.inference.recommender import Recommender
from seqrec.training.job import TrainedModel

__all__ = ["print_summary", "recommendations_table"]

NUM_EXAMPLES, NUM_SHOWN = 3, 5  # users, and items per user


def print_summary(trained: TrainedModel) -> None:
    """Print the model's metrics, recommendations for some users, and where it was saved."""
    recommender = Recommender(trained.trainer.model, trained.data.tokenizer, trained.data.items)
    print(f"\n{metrics_table(trained.metrics)}\n")
    rows, history = trained.data.sequences["test"], recommender.item_ids
    for number, row in enumerate(rows.select(range(min(NUM_EXAMPLES, len(rows)))), start=1):
        history = trained.data.tokenizer.decode_item_ids(row["input_ids"])
        newest = ", ".join(recommender.name_item(item_id) for item_id in history[-3:]) or "nothing"
        user = row.get("user_id", f"in row {number}")  # prepared sets have no user ids
        print(f"User {printable(str(user))}, after {printable(newest)}:")
        print(
            recommendations_table(recommender.recommend(history, k=min(NUM_SHOWN, len(recommender.items)))), end="\n\n"
        )
    folder = trained.trainer.args.output_dir
    print(f"Saved to {printable(folder)}: model, metrics.json, training_curve.png and a model card (README.md). Try:")
    print(f"  {printable(next_command(folder, history))}")


def recommendations_table(found: Sequence[Recommendation]) -> str:
    """Format one user's recommendations as a table, best first."""
    if not found:
        return "(no item is left to recommend)"
    rows = [[str(rank), one.item_id, f"{one.score:.3f}", one.title or ""] for rank, one in enumerate(found, start=1)]
    return align([["rank", "item_id", "score", "title"], *rows], left_columns=4)


def next_command(folder: str, history: Sequence[str]) -> str:
    """Return a command that recommends for a history's newest items that can be typed on this console."""
    typable = [item_id for item_id in history if is_typable(item_id)]
    return shell_command("seqrec", "recommend", model=folder, history=join_ids(typable[-3:]))


def is_typable(text: str) -> bool:
    """Return whether a console displays a text unchanged."""
    try:
        return text == printable(text) and bool(os.fsencode(text)) and bool(text.encode(sys.stdout.encoding or "ascii"))
    except UnicodeEncodeError:
        return False
