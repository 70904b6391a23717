"""The k largest scores of each row, in an order that nothing but the scores and their columns decides.

Scores descend, and equal ones stand in the order of their columns. So k places are the beginning of k + n, and a row is
answered alike alone and among others. `torch.topk` leaves open which of several equal scores it takes.

Shape suffixes: B rows, C columns, K places, N blocks, R rows that need a closer look.
"""

import torch
from torch import Tensor, nn

BLOCK = 64  # columns whose maximum is looked at before they are


def largest(scores_BC: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Find the k largest scores of each row, or all where there are fewer, and their columns.

    Of many columns, only the k blocks that come first by their maxima are searched: a score that is in none of these
    has k others before it. Scores of −inf stand at the end, in any order.

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
    """Do the same by looking at every column; one place more than k tells whether equal scores compete for the last."""
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
    """Find the columns of the scores above the last place's, and of as many of its equals, the first, as make k.

    Returns:
        `columns_RK`, rising.
    """
    is_above_RC = (scores_RC <= last_R1).logical_not()  # what is no number is above all, as in topk
    is_equal_RC = scores_RC == last_R1
    num_wanted_R1 = k - is_above_RC.sum(dim=1, keepdim=True)
    is_chosen_RC = is_above_RC | (is_equal_RC & (is_equal_RC.cumsum(dim=1) <= num_wanted_R1))
    return is_chosen_RC.nonzero()[:, 1].view(len(scores_RC), k)
