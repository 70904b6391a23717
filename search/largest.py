"""The k largest scores of each row, in a deterministic order: by descending score, then by column.

The top k are therefore always the first k of the top k + n, and a row's result does not depend on the other rows in the
batch. `torch.topk` does not specify which of several equal scores it returns.

Shape suffixes: B rows, C columns, K places, N blocks, R rows with ties at the last place.
"""

import torch
from torch import Tensor, nn

__all__ = ["BLOCK", "largest"]

BLOCK = 64  # columns per block; only a block's maximum is checked at first


def largest(scores_BC: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Find the k largest scores of each row and their columns, or all if there are fewer than k.

    With many columns, only the k blocks with the largest maxima are searched: k scores come before any score outside
    them. Scores of −inf come last, in any order.

    Returns:
        `values_BK` and `columns_BK`.
    """
    num_rows, num_columns = scores_BC.shape
    if num_columns < 8 * k * BLOCK:
        return largest_of_all(scores_BC, k)
    filled_BC = nn.functional.pad(scores_BC, (0, -num_columns % BLOCK), value=-torch.inf)
    blocks = filled_BC.view(num_rows, -1, BLOCK)
    block_BK = largest_of_all(blocks.amax(dim=2), k)[1].sort(dim=1).values
    candidates = blocks.gather(1, block_BK[:, :, None].expand(-1, -1, BLOCK)).flatten(start_dim=1)
    values_BK, place_BK = largest_of_all(candidates, k)
    return values_BK, block_BK.gather(1, place_BK // BLOCK) * BLOCK + place_BK % BLOCK


def largest_of_all(scores_BC: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Do the same by searching every column. One place more than k shows whether equal scores compete for the last."""
    num_columns = scores_BC.shape[1]
    values_BK, columns_BK = scores_BC.topk(min(k + 1, num_columns), dim=1)
    is_tied_BK = values_BK[:, 1:] == values_BK[:, :-1]
    if not is_tied_BK.any():
        return values_BK[:, :k], columns_BK[:, :k]
    if num_columns > k:
        values_BK, columns_BK = values_BK[:, :k], columns_BK[:, :k]
        rows_R = (is_tied_BK[:, -1] & (values_BK[:, -1] > -torch.inf)).nonzero().squeeze(1)
        columns_BK[rows_R] = first_columns(scores_BC[rows_R], values_BK[rows_R, -1:], k)
        values_BK = scores_BC.gather(1, columns_BK)
    columns_BK, order_BK = columns_BK.sort(dim=1)
    values_BK, order_BK = values_BK.gather(1, order_BK).sort(dim=1, descending=True, stable=True)
    return values_BK, columns_BK.gather(1, order_BK)


def first_columns(scores_RC: Tensor, last_R1: Tensor, k: int) -> Tensor:
    """Find k columns per row: all scores above the last place's, and the first columns among scores equal to it.

    Returns:
        `columns_RK`, in ascending order.
    """
    is_above_RC = (scores_RC <= last_R1).logical_not()  # NaN counts as largest, as in topk
    is_equal_RC = scores_RC == last_R1
    num_wanted_R1 = k - is_above_RC.sum(dim=1, keepdim=True)
    is_chosen_RC = is_above_RC | (is_equal_RC & (is_equal_RC.cumsum(dim=1) <= num_wanted_R1))
    return is_chosen_RC.nonzero()[:, 1].view(len(scores_RC), k)
