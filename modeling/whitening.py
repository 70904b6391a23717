"""Whiten vectors: spread them evenly over all directions.

Shape suffixes: I items, F width of the vectors.
"""

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["Whitening"]

SHARE_OF_VARIANCE = 0.01  # of the mean, added to each direction's, so that directions without any are not blown up
LEAST_VARIANCE = 1e-12  # of vectors that are all the same


class Whitening(nn.Module):
    """Centre vectors, and scale them to equal variance in all directions.

    Text models give all texts similar vectors, which differ in a few directions much more than in others. Whitened
    vectors train faster and generalise better to new items (Zhang et al. 2024, "Are ID Embeddings Necessary? Whitening
    Pre-trained Text Embeddings for Effective Sequential Recommendation").

    Args:
        size: Width of the vectors.

    Attributes:
        mean_F: The mean vector.
        matrix_FF: The inverse square root of the covariance; all 0 until `fit` is called.
    """

    mean_F: Tensor
    matrix_FF: Tensor

    def __init__(self, size: int) -> None:
        super().__init__()
        self.register_buffer("mean_F", torch.zeros(size))
        self.register_buffer("matrix_FF", torch.zeros(size, size))

    @property
    def is_fitted(self) -> bool:
        """Whether the mean and the matrix are known."""
        return bool(self.matrix_FF.any())

    def fit(self, vectors_IF: np.ndarray) -> None:
        """Measure the mean and the covariance of vectors."""
        mean_F = vectors_IF.mean(axis=0, dtype=np.float64)
        centred_IF = vectors_IF - mean_F
        variances_F, directions_FF = np.linalg.eigh(centred_IF.T @ centred_IF / len(vectors_IF))
        variances_F = np.maximum(variances_F, 0)
        floor = max(SHARE_OF_VARIANCE * variances_F.mean(), LEAST_VARIANCE)
        matrix_FF = directions_FF / np.sqrt(variances_F + floor) @ directions_FF.T
        self.mean_F = torch.from_numpy(mean_F).to(self.mean_F)
        self.matrix_FF = torch.from_numpy(matrix_FF).to(self.matrix_FF)

    def forward(self, vectors_IF: np.ndarray) -> np.ndarray:
        """Return whitened vectors, float64 (I, F)."""
        mean_F, matrix_FF = (np.float64(tensor.cpu().numpy()) for tensor in (self.mean_F, self.matrix_FF))
        return (vectors_IF - mean_F) @ matrix_FF
