"""Keep vectors computed from a module's weights until these change."""

from typing import Any, NamedTuple

from torch import Tensor, nn

__all__ = ["KeptVectors"]


class Record(NamedTuple):
    """Vectors, and the state of the module that they were computed from.

    Attributes:
        vectors: The vectors.
        contents: The parameters, buffers and submodules that the module and each of its submodules have registered,
            with the identities of the registered objects.
        weights: The parameters and buffers, each with its number of changes and its place in memory.
        objects: The registered objects, so that no other object can take over an identity.
    """

    vectors: Tensor
    contents: list[tuple[dict[str, Any], list[int]]]
    weights: list[tuple[Tensor, int, int]]
    objects: list[Any]


class KeptVectors:
    """Vectors computed from the parameters and buffers of a module, valid until one of these changes.

    A change is noticed if it replaces a tensor, or is made in place by operations that autograd counts; these do not
    include operations on `tensor.data`, and fused optimizers. Copies of a module do not keep the vectors.
    """

    def __init__(self) -> None:
        self.record: Record | None = None  # replaced as a whole, as several threads may read it

    def get(self) -> Tensor | None:
        """Return the vectors if they are still valid."""
        record = self.record
        if record is None:
            return None
        for registered, identities in record.contents:
            if [*map(id, registered.values())] != identities:
                return None
        for weight, changes, place in record.weights:
            if changes_of(weight) != changes or weight.data_ptr() != place:
                return None
        return record.vectors

    def keep(self, module: nn.Module, vectors: Tensor) -> Tensor:
        """Keep vectors just computed from a module; return them."""
        registries: list[dict[str, Any]] = [
            registered for one in module.modules() for registered in (one._parameters, one._buffers, one._modules)
        ]
        objects = [one for registered in registries for one in registered.values()]
        contents = [(registered, [*map(id, registered.values())]) for registered in registries]
        weights = [(one, changes_of(one), one.data_ptr()) for one in objects if isinstance(one, Tensor)]
        self.record = Record(vectors, contents, weights, objects)
        return vectors

    def forget(self) -> None:
        """Discard the vectors."""
        self.record = None

    def __reduce__(self) -> tuple[type["KeptVectors"], tuple[()]]:
        return KeptVectors, ()


def changes_of(weight: Tensor) -> int:
    """Return how often a tensor was changed in place; 0 for tensors made in inference mode, which do not count it."""
    return 0 if weight.is_inference() else weight._version
