"""A table whose rows are divided among processes, such as the items of a catalogue that no device can hold.

Shape suffixes: V rows of the table, P processes.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from seqrec.errors import InputError
from seqrec.interactions.special_tokens import NUM_SPECIAL_TOKENS

__all__ = ["RowShards"]


@dataclass(frozen=True)
class RowShards:
    """Which process holds which rows, and the exchange between the processes.

    Rows are divided as `torch.distributed.tensor.Shard(0)` divides them: each process holds ⌈V / P⌉ consecutive rows,
    the last one the rest. All processes of the group must call each method that exchanges tensors, in the same order.

    Args:
        num_rows: V.
        group: The processes; None for all. Give the table a group of its own: the order of its exchanges then does not
            depend on those of others, such as of `DistributedDataParallel`.

    Raises:
        InputError: If a process would hold no item, only special tokens.
    """

    num_rows: int
    group: Any = None

    def __post_init__(self) -> None:
        fewest = min(self.rows_each, self.num_rows - (self.num_processes - 1) * self.rows_each)
        if self.rows_each <= NUM_SPECIAL_TOKENS or fewest < 1:
            raise InputError(
                f"A table of {self.num_rows} items and special tokens is too small to be divided among "
                f"{self.num_processes} processes. Leave out shard_items, which only large catalogues need."
            )

    @cached_property
    def num_processes(self) -> int:
        """P."""
        return dist.get_world_size(self.group)

    @cached_property
    def index(self) -> int:
        """The number of this process, from 0."""
        return dist.get_rank(self.group)

    @property
    def rows_each(self) -> int:
        """Rows per process, of which the last one may have fewer."""
        return -(-self.num_rows // self.num_processes)

    @property
    def first(self) -> int:
        """The first row that this process holds."""
        return self.index * self.rows_each

    @property
    def stop(self) -> int:
        """The row after the last one that this process holds."""
        return min(self.first + self.rows_each, self.num_rows)

    def gather(self, tensor: Tensor) -> Tensor:
        """Return the tensors (P, …) of all processes, which have one shape."""
        gathered = tensor.new_empty(self.num_processes * tensor.numel())
        dist.all_gather_single(gathered, tensor.contiguous().flatten(), group=self.group)
        return gathered.view(self.num_processes, *tensor.shape)

    def gather_rows(self, rows: Tensor) -> tuple[Tensor, list[int]]:
        """Return the rows (N, …) of all processes, one after the other, and the number of each one's rows."""
        counts = self.gather(torch.tensor(len(rows), device=rows.device)).tolist()
        if not any(counts):
            return rows, counts
        padded = rows.new_zeros(max(counts), *rows.shape[1:])
        padded[: len(rows)] = rows
        return torch.cat([part[:count] for part, count in zip(self.gather(padded), counts, strict=True)]), counts

    def sum_rows(self, rows: Tensor, counts: list[int]) -> Tensor:
        """Sum what the processes have for all rows (N, …), and return those of this process: reverses `gather_rows`."""
        if not any(counts):
            return rows
        padded = rows.new_zeros(self.num_processes, max(counts), *rows.shape[1:])
        for part, own in zip(padded, rows.split(counts), strict=True):
            part[: len(own)] = own
        summed = torch.empty_like(padded[0])
        dist.reduce_scatter_single(summed.flatten(), padded.flatten(), group=self.group)
        return summed[: counts[self.index]]

    def exchange(self, rows: Tensor, sent: list[int], received: list[int]) -> Tensor:
        """Send each process its part of the rows, and return the parts that all send to this one.

        Args:
            rows: The parts, one after the other, in the order of the processes.
            sent: Number of rows for each process.
            received: Number of rows from each.
        """
        found = rows.new_empty(sum(received), *rows.shape[1:])
        dist.all_to_all_single(found, rows.contiguous(), received, sent, group=self.group)
        return found

    def exchanged_counts(self, sent: Tensor) -> Tensor:
        """Tell each process one number (P,), and return those that all told this one."""
        received = torch.empty_like(sent)
        dist.all_to_all_single(received, sent, group=self.group)
        return received

    def reduce(self, tensor: Tensor, operation: Any = dist.ReduceOp.SUM) -> Tensor:
        """Sum a tensor over all processes, or reduce it by another operation; in place."""
        dist.all_reduce(tensor, operation, group=self.group)
        return tensor
