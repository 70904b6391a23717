"""Keep vectors computed from a module's weights until these change."""

from typing import NamedTuple

from torch import Tensor, nn

__all__ = ["KeptVectors"]

Fingerprint = tuple[tuple[int, int, int], ...]


class Record(NamedTuple):
    """Vectors, the state of the weights that they belong to, and the weights, whose identities are part of it."""

    fingerprint: Fingerprint
    weights: list[Tensor]
    vectors: Tensor


class KeptVectors:
    """Vectors computed from the parameters and buffers of a module, valid until one of these changes.

    A change is noticed if it replaces a tensor, or is made in place by operations that autograd counts; these do not
    include operations on `tensor.data`, and fused optimizers. Copies of a module do not keep the vectors.
    """

    def __init__(self) -> None:
        self.record: Record | None = None  # replaced as a whole, as several threads may read it

    def get(self, module: nn.Module) -> Tensor | None:
        """Return the vectors if they are still valid."""
        record = self.record
        if record is None or record.fingerprint != fingerprint_of(weights_of(module)):
            return None
        return record.vectors

    def keep(self, module: nn.Module, vectors: Tensor) -> Tensor:
        """Keep vectors just computed from a module; return them."""
        weights = weights_of(module)
        self.record = Record(fingerprint_of(weights), weights, vectors)
        return vectors

    def forget(self) -> None:
        """Discard the vectors."""
        self.record = None

    def __reduce__(self) -> tuple[type["KeptVectors"], tuple[()]]:
        return KeptVectors, ()


def weights_of(module: nn.Module) -> list[Tensor]:
    """List the parameters and buffers of a module."""
    return [*module.parameters(), *module.buffers()]


def fingerprint_of(weights: list[Tensor]) -> Fingerprint:
    """Return the identity, place and number of changes of each tensor."""
    return tuple((id(weight), weight.data_ptr(), 0 if weight.is_inference() else weight._version) for weight in weights)
