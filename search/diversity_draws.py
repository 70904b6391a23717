"""Random numbers that depend on a history, an item and a seed, not on the other histories of a batch.

Shape suffixes: B users, S seen items, N candidates.
"""

import torch
from torch import Tensor

__all__ = ["gumbel_noise", "history_keys"]

GOLDEN, FIRST, SECOND = (number - 2**64 for number in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
DRAWN_BITS = 23  # so that float32 holds the midpoints of 2²³ intervals


def history_keys(seen_BS: Tensor, seed: int | None) -> Tensor:
    """Return an integer (B, 1) for each history and seed; without a seed, other ones each time.

    Args:
        seen_BS: Token ids of the histories, 0 in empty places, wherever these are.
        seed: Any integer.
    """
    if seed is None:
        return torch.randint(-(2**63), 2**63 - 1, (len(seen_BS), 1), device=seen_BS.device)
    is_item_BS = seen_BS > 0
    place_BS = mixed(is_item_BS.cumsum(dim=1))
    events_BS = mixed(seen_BS ^ place_BS).where(is_item_BS, 0)
    return mixed(events_BS.sum(dim=1, keepdim=True) + wrapped(int(seed) * GOLDEN))


def gumbel_noise(keys_B1: Tensor, token_ids_BN: Tensor) -> Tensor:
    """Draw from the standard Gumbel distribution, float32 (B, N).

    The k largest of score + temperature · noise are k draws without replacement, in their order, from the softmax of
    score / temperature: the Plackett–Luce distribution. Yellott, Journal of Mathematical Psychology 1977.
    """
    bits_BN = shifted(mixed(keys_B1 ^ mixed(token_ids_BN)), 64 - DRAWN_BITS)
    uniform_BN = (bits_BN.float() + 0.5) / 2**DRAWN_BITS
    return -(-uniform_BN.log()).log()


def mixed(numbers: Tensor) -> Tensor:
    """Scramble the bits of integers: splitmix64 of Steele, Lea & Flood, OOPSLA 2014."""
    numbers = numbers + GOLDEN
    numbers = (numbers ^ shifted(numbers, 30)) * FIRST
    numbers = (numbers ^ shifted(numbers, 27)) * SECOND
    return numbers ^ shifted(numbers, 31)


def shifted(numbers: Tensor, places: int) -> Tensor:
    """Shift 64 bits to the right, filling with zeros, which torch does not do for negative numbers."""
    return (numbers >> places) & (2 ** (64 - places) - 1)


def wrapped(number: int) -> int:
    """Return the integer of 64 bits that equals a number modulo 2⁶⁴."""
    return (number + 2**63) % 2**64 - 2**63
