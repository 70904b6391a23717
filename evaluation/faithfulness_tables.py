"""Tables of the faithfulness of explanations, for the terminal."""

from collections.abc import Sequence
from typing import Any

from seqrec.evaluation.tables import align_within

__all__ = ["faithfulness_table"]

SHOWN = ("drop", "drop_ratio", "del", "ins", "pos@10", "neg@10")


def faithfulness_table(figures: dict[str, Any], *, width: int | None = None, shown: Sequence[str] = SHOWN) -> str:
    """Format the result of `measure_faithfulness`, one line per method.

    Args:
        figures: The result.
        width: Columns of the terminal; measures that do not fit are left out. None for no limit.
        shown: The measures.
    """
    rows = [["", "users", *shown]]
    for name, own in figures["methods"].items():
        cells = ["{mean:.3f} [{low:.3f}, {high:.3f}]".format(**own[measure]) for measure in shown]
        rows.append([name, str(figures["num_users"]), *cells])
    return align_within(rows, width)
