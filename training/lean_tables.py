"""Make a model whose item table each process holds only in part, without drawing the whole table in any of them."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from torch.overrides import TorchFunctionMode
from transformers import TrainingArguments

__all__ = ["drawing_own_rows"]

PIECE_ROWS = 2**16  # a multiple of 16: torch draws normal numbers in blocks of 16


class OwnRows(TorchFunctionMode):
    """Draws the normal numbers of tables (V, D), but keeps only those of some rows; the others stay uninitialised.

    It replaces `torch.nn.init.normal_`, also where transformers wraps it. The random numbers are those that drawing the
    whole table takes, so that all weights are the same as without this. An operating system gives memory to the rows
    that are written, so that the others take none.

    Args:
        num_rows: V.
        first: The first row to keep.
        stop: The row after the last one.
    """

    def __init__(self, num_rows: int, first: int, stop: int) -> None:
        super().__init__()
        self.num_rows, self.first, self.stop = num_rows, first, stop

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call a function of torch, or draw a table in pieces."""
        kwargs = dict(kwargs or {})
        table = kwargs.get("tensor")
        is_drawn = func.__name__ == "normal_" and not getattr(table, "_is_hf_initialized", False)  # torch's, or wrapped
        if not is_drawn or table is None or table.ndim != 2 or len(table) != self.num_rows:
            return func(*args, **kwargs)
        num_pieces = max(1, self.num_rows // PIECE_ROWS)
        for piece in range(num_pieces):
            start = piece * PIECE_ROWS
            stop = self.num_rows if piece == num_pieces - 1 else start + PIECE_ROWS
            drawn = func(**{**kwargs, "tensor": table.new_empty(stop - start, table.shape[1])})
            kept = slice(max(start, self.first), min(stop, self.stop))
            if kept.start < kept.stop:
                table.data[kept] = drawn[kept.start - start : kept.stop - start]
        return table


def drawing_own_rows(num_rows: int, args: TrainingArguments) -> AbstractContextManager:
    """Draw only the rows that this process will keep, of item tables of models that are made within.

    Args:
        num_rows: Number of token ids.
        args: Whether tables are divided (`shard_items`), among how many processes, and which one this is.
    """
    if not args.shard_items or args.world_size == 1:
        return nullcontext()
    rows_each = -(-num_rows // args.world_size)
    return OwnRows(num_rows, args.process_index * rows_each, (args.process_index + 1) * rows_each)
