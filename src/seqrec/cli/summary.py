"""The summary printed after a training: metrics, example recommendations, and the next command to try."""

import os
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from seqrec.cli.parsers import join_ids, shell_command
from seqrec.evaluation.baseline_warning import BASELINE_WARNING
from seqrec.evaluation.tables import align, display_width, metrics_table, printable, shorten, terminal_width, wrap
from seqrec.evaluation.task_tables import task_tables
from seqrec.inference.recommendations import Recommendation
from seqrec.inference.recommender import Recommender
from seqrec.interactions.seconds import to_datetimes
from seqrec.training.job import TrainedModel
from seqrec.training.train import log_baseline_warning

__all__ = ["fitting", "print_result", "print_summary", "recommendations_table"]

NUM_EXAMPLES, NUM_SHOWN = 3, 5  # users, and items per user
SHORTEST = 12  # columns that a shortened title or id keeps
SAVED = "model, metrics, training curve and model card. Try:"


def print_result(trained: TrainedModel) -> None:
    """Print the summary of a training; if that is to be quiet, only warn of baselines that are better."""
    if trained.trainer.args.quiet:
        log_baseline_warning(trained.metrics)
    else:
        print_summary(trained)


def print_summary(trained: TrainedModel) -> None:
    """Print the model's metrics, recommendations for some users, and where it was saved."""
    width = terminal_width(sys.stdout)
    print(f"\n{metrics_table(trained.metrics, width=width)}\n")
    if tables := task_tables(trained.metrics, width=width):
        print(f"{tables}\n")
    if BASELINE_WARNING in trained.metrics:
        print(wrap(trained.metrics[BASELINE_WARNING], width), end="\n\n")
    history: Sequence[str] = trained.data.tokenizer.item_ids
    asked: dict[str, Any] = {}
    if trained.trainer.sharded_items is None:  # otherwise, no process can search the whole catalogue
        history, asked = print_examples(trained, width)
    folder = trained.trainer.args.output_dir
    print(saved_line(folder, width))
    print(next_command(folder, history, width, **asked))


def print_examples(trained: TrainedModel, width: int | None) -> tuple[Sequence[str], dict[str, Any]]:
    """Print recommendations for some users; return the last one's history, and the times that it was asked with."""
    recommender = Recommender(trained.trainer.model, trained.data.tokenizer, trained.data.items)
    rows, history = trained.data.sequences["test"], recommender.item_ids
    asked: dict[str, Any] = {}
    for number, row in enumerate(rows.select(range(min(NUM_EXAMPLES, len(rows)))), start=1):
        history = trained.data.tokenizer.decode_item_ids(row["input_ids"])
        newest = ", ".join(recommender.name_item(item_id) for item_id in history[-3:]) or "nothing"
        user = row.get("user_id", f"in row {number}")  # prepared sets have no user ids
        asked = times_of(row, recommender.model.config.event_columns)
        found = recommender.recommend(history, k=min(NUM_SHOWN, len(recommender.items)), **asked)
        print(f"{fitting(f'User {user}, after {newest}', width and width - 1)}:")
        print(recommendations_table(found, width=width), end="\n\n")
    return history, asked


def times_of(row: Mapping[str, Any], columns: Collection[str]) -> dict[str, Any]:
    """Return the times of a held-out row that the model reads, as `Recommender.recommend` takes them."""
    found = {"timestamps": to_datetimes(row["timestamps"])} if "timestamps" in columns else {}
    return {**found, "at": to_datetimes(row["target_timestamp"])} if "request_times" in columns else found


def recommendations_table(found: Sequence[Recommendation], *, width: int | None = None) -> str:
    """Format one user's recommendations as a table, best first.

    Args:
        found: The recommendations.
        width: Columns of the terminal. Titles are shortened to fit; if that is not enough, columns of the items, then
            scores, then titles are left out, and ids are shortened. None for no limit.
    """
    if not found:
        return fitting("(no item is left to recommend)", width)
    further = [name for name in found[0].columns or () if name not in ("item_id", "title")]
    columns = {
        "rank": [str(rank) for rank in range(1, len(found) + 1)],
        "item_id": [displayed(one.item_id) for one in found],
        "score": [f"{one.score:.3f}" for one in found],
        **{name: [displayed(cell_of((one.columns or {})[name])) for one in found] for name in further},
        "title": [displayed(one.title or "") for one in found],
    }
    for left_out in (*reversed(further), "score", "title", ""):
        last = list(columns)[-1] if "title" in columns else "item_id"
        others = sum(column_width(name, cells) + 2 for name, cells in columns.items() if name != last)
        needed = column_width(last, columns[last])
        if width is None or others + min(needed, SHORTEST) <= width or not left_out:
            columns[last] = [fitting(cell, width and max(1, width - others)) for cell in columns[last]]
            break
        del columns[left_out]
    return align([list(columns), *zip(*columns.values(), strict=True)], left_columns=len(columns))


def cell_of(value: Any) -> str:
    """Return a value of an item's column as text; those of a list are separated by "|"."""
    if isinstance(value, list):
        return "|".join(map(cell_of, value))
    return "" if value is None else str(value)


def column_width(name: str, cells: Sequence[str]) -> int:
    """Return the width of a column and its title."""
    return max(map(display_width, (name, *cells)))


def saved_line(folder: str, width: int | None) -> str:
    """Say where the model is, in one line if it fits; the folder is never shortened, so that it can be copied."""
    where = f"Saved to {displayed(folder)}:"
    if width is None or display_width(f"{where} {SAVED}") <= width:
        return f"{where} {SAVED}"
    return f"{where}\n{wrap(SAVED, width)}"


def next_command(
    folder: str,
    history: Sequence[str],
    width: int | None = None,
    *,
    timestamps: np.ndarray | None = None,
    at: np.ndarray | None = None,
) -> str:
    """Return a command that recommends for a history's newest items that can be typed on this console.

    Where it would not fit, it is broken between flags. Times are given if the model reads them, and then the list is
    asked for now.
    """
    typable = [place for place, item_id in enumerate(history) if is_typable(item_id)][-3:]
    flags = [shell_command(model=folder), shell_command(history=join_ids([history[place] for place in typable]))]
    if timestamps is not None:
        times = timestamps[typable].astype("datetime64[s]").astype(str)
        flags.append(shell_command(timestamps=",".join(times)))
    if at is not None:
        flags.append(shell_command(at="now"))
    command = displayed(f"  {' '.join(['seqrec recommend', *flags])}")
    if width is None or display_width(command) <= width:
        return command
    return " \\\n".join(["  seqrec recommend", *(displayed(f"    {flag}") for flag in flags)])


def fitting(text: str, width: int | None) -> str:
    """Return a text as this console displays it, shortened to a width, unless that is None."""
    text = displayed(text)
    return text if width is None else shorten(text, width, ellipsis="…" if is_typable("…") else "...")


def displayed(text: str) -> str:
    """Return a text as this console displays it: with escapes for control characters and those of other alphabets."""
    encoding = sys.stdout.encoding or "ascii"
    return printable(text).encode(encoding, errors="backslashreplace").decode(encoding)


def is_typable(text: str) -> bool:
    """Return whether a console displays a text unchanged."""
    try:
        return text == printable(text) and bool(os.fsencode(text)) and bool(text.encode(sys.stdout.encoding or "ascii"))
    except UnicodeEncodeError:
        return False
