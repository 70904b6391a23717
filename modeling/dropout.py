"""Dropout that is fast on a CPU."""

import torch
from torch import Tensor, nn

__all__ = ["Dropout"]


class Dropout(nn.Dropout):
    """`torch.nn.Dropout` at a fraction of its cost on a CPU, where drawing Bernoulli numbers is slow.

    An element is kept if its own 16 random bits are high enough; one random integer holds the bits of four elements.
    """

    def __call__(self, input: Tensor) -> Tensor:
        """Return the input as it is, except in training: the library's call would cost 1 % of a request each time."""
        return super().__call__(input) if self.training else input

    def forward(self, input: Tensor) -> Tensor:
        """Zero elements with probability p (to within 2⁻¹⁶), and scale the others to preserve the expectation."""
        if not self.training or self.p == 0:
            return input
        if input.device.type != "cpu":
            return super().forward(input)
        num_draws = -(-input.numel() // 4)
        draws = torch.empty(num_draws, dtype=torch.int64).random_(-(2**63), None).view(torch.int16)
        dropped = round(self.p * 2**16)
        keep = draws[: input.numel()].to(torch.float32).ge_(dropped - 2**15)
        return input * keep.mul_(2**16 / (2**16 - dropped)).view_as(input).to(input.dtype)
