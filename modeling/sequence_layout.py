"""How histories lie in the rows of a batch: one per row, padded, or several packed into a row.

Shape suffixes: B batch, L length, D hidden size, N positions of all rows.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import cast

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from seqrec.modeling.positions import positions_from_newest

__all__ = ["SequenceLayout", "newest_position", "take_position"]


@dataclass(frozen=True)
class SequenceLayout:
    """Places and times of events in the rows of a batch. Without mask and positions, each row is one history.

    Attributes:
        attention_mask_BL: 1 for items and 0 for padding, or None.
        position_ids_BL: Positions that restart at 0 with every packed history, or None.
        timestamps_BL: When each event happened, in seconds since 1970; None for a model that reads no times.
        request_times_BL: When the item after each event is asked for, as far as the model may know: `timestamps_BL`
            itself if `config.request_time` is "last_event". None for a model that reads no times.
    """

    attention_mask_BL: Tensor | None = None
    position_ids_BL: Tensor | None = None
    timestamps_BL: Tensor | None = None
    request_times_BL: Tensor | None = None

    def running_sum(self, values_BL: Tensor) -> Tensor:
        """Sum values, which are 0 in padding, over the events of a history up to each of them: (B, L)."""
        sums_BL = values_BL.cumsum(-1)
        if self.position_ids_BL is None:
            return sums_BL
        first_BL = torch.arange(values_BL.shape[1], device=values_BL.device) - self.position_ids_BL
        return sums_BL - (sums_BL - values_BL).gather(-1, first_BL)

    def to_sequences(self, values_BLD: Tensor) -> Tensor | PackedSequence:
        """Return the histories as input of a recurrent network with `batch_first=True`, which reads each alone.

        Each padding position becomes a sequence of its own.
        """
        if self.attention_mask_BL is None and self.position_ids_BL is None:
            return values_BLD
        order_N, batch_sizes = self.steps
        return PackedSequence(values_BLD.flatten(0, 1)[order_N], batch_sizes)

    def to_rows(self, outputs: Tensor | PackedSequence) -> Tensor:
        """Put the outputs of a recurrent network for `to_sequences` back into rows (B, L, D)."""
        if isinstance(outputs, Tensor):
            return outputs
        order_N, _ = self.steps
        companion_BL = cast("Tensor", self.attention_mask_BL if self.position_ids_BL is None else self.position_ids_BL)
        return outputs.data[order_N.argsort()].unflatten(0, companion_BL.shape)

    @cached_property
    def steps(self) -> tuple[Tensor, Tensor]:
        """Positions (N,) in the order in which a recurrent network reads them, and how many it reads at each step."""
        step_BL, length_BL = self.steps_and_lengths()
        step_N, length_N = step_BL.flatten(), length_BL.flatten()
        longest_first_N = length_N.argsort(descending=True, stable=True)
        order_N = longest_first_N[step_N[longest_first_N].argsort(stable=True)]
        return order_N, step_N.bincount().cpu()

    def steps_and_lengths(self) -> tuple[Tensor, Tensor]:
        """Return each position's index in its history, and the length of that history: (B, L) each."""
        if self.position_ids_BL is not None:
            position_ids_BL = self.position_ids_BL
            remaining_BL = positions_from_newest(
                position_ids_BL.shape[1], None, position_ids_BL, position_ids_BL.device
            )
            return position_ids_BL, position_ids_BL + remaining_BL + 1
        is_item_BL = cast("Tensor", self.attention_mask_BL) != 0
        step_BL = (is_item_BL.cumsum(-1) - 1) * is_item_BL
        return step_BL, torch.where(is_item_BL, is_item_BL.sum(-1, keepdim=True), 1)


def newest_position(input_ids_BL: Tensor, attention_mask_BL: Tensor | None) -> Tensor | int:
    """Return the position of the newest item in each row (B,); −1 if nothing is padded."""
    if attention_mask_BL is None:
        return -1
    index_L = torch.arange(input_ids_BL.shape[1], device=input_ids_BL.device)
    return (index_L * attention_mask_BL.to(input_ids_BL.device)).argmax(dim=1)


def take_position(values: Tensor, position: Tensor | int) -> Tensor:
    """Select one position per row from values (B, L, …), or the same position in all rows: (B, 1, …)."""
    if isinstance(position, int):
        return values.narrow(1, position, 1)
    return values[torch.arange(values.shape[0], device=values.device), position][:, None]
