"""Place vectors in the plane so that neighbours stay neighbours: t-SNE (van der Maaten & Hinton, JMLR 2008).

Of the 10 nearest neighbours of an item, it keeps about half, where two principal components keep an eighth. All pairs
are computed, which is fastest for up to a few thousand vectors. There is nothing random: it starts from the principal
components, as Kobak & Berens (Nature Communications 2019) advise.

Shape suffixes: N vectors, D their size.
"""

import math

import torch
from torch import Tensor

__all__ = ["place_neighbours"]

PERPLEXITY = 30.0  # about the number of neighbours that count
NUM_STEPS, NUM_EXAGGERATED_STEPS = 300, 100
EXAGGERATION = 12.0
MOMENTUM, EXAGGERATED_MOMENTUM = 0.8, 0.5
LEAST_RATE = 50.0
START = 1e-2  # standard deviation of the first places
NUM_HALVINGS = 40  # of the interval that contains a width


@torch.no_grad()
def place_neighbours(vectors_ND: Tensor) -> Tensor:
    """Return places (N, 2) at which similar vectors are neighbours; only near distances mean something.

    Args:
        vectors_ND: Vectors, compared by Euclidean distance.
    """
    vectors_ND = vectors_ND.float().cpu()
    places_N2 = principal_components(vectors_ND)
    if len(vectors_ND) < 4:  # fewer have no neighbours to choose from
        return places_N2
    shares_NN = neighbour_shares(vectors_ND, min(PERPLEXITY, (len(vectors_ND) - 1) / 3))
    places_N2 = places_N2 * (START / places_N2.std().clamp(min=1e-12))
    velocity_N2, gains_N2 = torch.zeros_like(places_N2), torch.ones_like(places_N2)
    rate = max(len(vectors_ND) / EXAGGERATION / 4, LEAST_RATE)
    for step in range(NUM_STEPS):
        is_early = step < NUM_EXAGGERATED_STEPS
        gradient_N2 = divergence_gradient(places_N2, shares_NN, EXAGGERATION if is_early else 1.0)
        gains_N2 = torch.where(gradient_N2 * velocity_N2 > 0, gains_N2 * 0.8, gains_N2 + 0.2).clamp(min=0.01)
        momentum = EXAGGERATED_MOMENTUM if is_early else MOMENTUM
        velocity_N2 = momentum * velocity_N2 - rate * gains_N2 * gradient_N2
        places_N2 = places_N2 + velocity_N2
    return places_N2 - places_N2.mean(dim=0)


def principal_components(vectors_ND: Tensor) -> Tensor:
    """Return the first two principal components (N, 2), zeros where there are fewer."""
    centred_ND = vectors_ND - vectors_ND.mean(dim=0)
    left_NK, sizes_K, _ = torch.linalg.svd(centred_ND, full_matrices=False)
    left_N2 = left_NK[:, :2] * sizes_K[:2]
    largest_2 = left_N2.gather(0, left_N2.abs().argmax(dim=0, keepdim=True))  # whose signs are arbitrary
    return torch.nn.functional.pad(left_N2 * largest_2.sign(), (0, 2 - left_N2.shape[1]))


def neighbour_shares(vectors_ND: Tensor, perplexity: float) -> Tensor:
    """Return how much each pair are neighbours (N, N), as shares of 1; equation 1 and section 3.1 of the paper.

    For each vector, the width of a Gaussian is found by bisection so that its distribution has the given perplexity.
    """
    distances_NN = torch.cdist(vectors_ND, vectors_ND).square()
    distances_NN = distances_NN / distances_NN.mean().clamp(min=1e-12)
    distances_NN.fill_diagonal_(torch.inf)
    distances_NN = distances_NN - distances_NN.amin(dim=1, keepdim=True)  # changes nothing but the range of exp
    finite_NN = distances_NN.where(distances_NN < torch.inf, 0)
    low_N1, high_N1 = torch.zeros(len(vectors_ND), 1), torch.full((len(vectors_ND), 1), torch.inf)
    width_N1 = torch.ones(len(vectors_ND), 1)
    for _ in range(NUM_HALVINGS):
        weights_NN = (-distances_NN * width_N1).exp()
        total_N1 = weights_NN.sum(dim=1, keepdim=True)
        mean_N1 = (weights_NN * finite_NN).sum(dim=1, keepdim=True) / total_N1
        is_wide_N1 = total_N1.log() + width_N1 * mean_N1 > math.log(perplexity)
        low_N1, high_N1 = low_N1.where(~is_wide_N1, width_N1), high_N1.where(is_wide_N1, width_N1)
        middle_N1 = (low_N1 + high_N1) / 2
        width_N1 = middle_N1.where(high_N1 < torch.inf, 2 * width_N1).clamp(max=1e6)
    weights_NN = (-distances_NN * width_N1).exp()
    shares_NN = weights_NN / weights_NN.sum(dim=1, keepdim=True)
    return (shares_NN + shares_NN.T) / (2 * len(vectors_ND))


def divergence_gradient(places_N2: Tensor, shares_NN: Tensor, exaggeration: float) -> Tensor:
    """Return the gradient (N, 2) of the divergence between both distributions of neighbours; equation 5."""
    squares_N = places_N2.square().sum(dim=1)
    near_NN = (places_N2 @ places_N2.T).mul_(-2).add_(squares_N[:, None]).add_(squares_N[None])
    near_NN = near_NN.clamp_(min=0).add_(1).reciprocal_().fill_diagonal_(0)
    pull_NN = (shares_NN * near_NN).mul_(exaggeration).addcmul_(near_NN, near_NN, value=-1 / float(near_NN.sum()))
    return 4 * (pull_NN.sum(dim=1, keepdim=True) * places_N2 - pull_NN @ places_N2)
