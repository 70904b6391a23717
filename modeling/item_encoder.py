"""Items as vectors: the sum of an embedding of their token ids and any further parts.

Shape suffixes: V vocabulary, D hidden size; … any shape of token ids.
"""

from typing import Any, ClassVar, TypeVar, cast

from torch import Tensor, nn

from seqrec.errors import InputError
from seqrec.interactions.special_tokens import PAD_ID

__all__ = ["ITEM_PARTS", "ItemEncoder", "ItemPart", "beneath_adapters", "register_item_part"]


class ItemPart(nn.Module):
    """One part of the items' vectors, such as a projection of their descriptions' embeddings.

    A subclass sets `name`; `config.item_parts` selects parts by it. Keep its data in parameters or persistent buffers,
    which are saved with the model's weights.

    Args:
        config: The model's configuration.
    """

    name: ClassVar[str]

    def __init__(self, config: Any) -> None:
        super().__init__()

    def forward(self, ids: Tensor) -> Tensor:
        """Return the vectors (…, D) of token ids (…), which may include special tokens."""
        raise NotImplementedError(f"{type(self).__name__} needs a method forward(ids).")

    def catalogue(self) -> Tensor:
        """Return the vectors (V, D) of all token ids."""
        raise NotImplementedError(f"{type(self).__name__} needs a method catalogue().")

    def resize(self, vocab_size: int) -> None:
        """Change the number of token ids; new ones come last."""
        raise InputError(f"The item part {self.name!r} cannot be resized: it has no method resize(vocab_size).")


ITEM_PARTS: dict[str, type[ItemPart]] = {}
Part = TypeVar("Part", bound=type[ItemPart])


def register_item_part(part: Part) -> Part:
    """Register a class of item parts by its name; use as a decorator.

    Raises:
        InputError: If the name is not an identifier, is reserved, or another class has it.
    """
    name = part.name
    if not name.isidentifier() or hasattr(nn.ModuleDict, name):
        raise InputError(f"An item part cannot be named {name!r}. Choose another identifier.")
    if ITEM_PARTS.setdefault(name, part) is not part:
        raise InputError(f"Another item part, {ITEM_PARTS[name].__qualname__}, is already named {name!r}. Rename one.")
    return part


def item_part(name: str) -> type[ItemPart]:
    """Return the class of item parts with a name.

    Raises:
        InputError: If no class is registered under it.
    """
    if name not in ITEM_PARTS:
        raise InputError(
            f"No item part {name!r} is registered (config.item_parts). Import the module that registers it, or load "
            "the model with trust_remote_code=True if it was saved with its code."
        )
    return ITEM_PARTS[name]


class ItemEncoder(nn.Embedding):
    """The sum of the items' id embedding, which is this module itself, and of further parts.

    Attributes:
        parts: The further parts, by their names.
    """

    def __init__(self, config: Any) -> None:
        super().__init__(config.vocab_size, config.hidden_size, padding_idx=PAD_ID)
        self.parts = nn.ModuleDict({name: item_part(name)(config) for name in config.item_parts})
        self.parts_size = config.vocab_size

    def forward(self, input: Tensor) -> Tensor:
        """Return the vectors (…, D) of token ids (…)."""
        vectors = super().forward(input)
        for part in self.parts.values():
            vectors = vectors + part(input)
        return vectors

    def catalogue(self) -> Tensor:
        """Return the vectors (V, D) of all token ids, including special tokens."""
        vectors_VD: Tensor = self.weight
        for part in cast("list[ItemPart]", self.parts.values()):
            vectors_VD = vectors_VD + part.catalogue()
        return vectors_VD

    def replace_embedding(self, embedding: nn.Embedding) -> None:
        """Use the weights of another id embedding, which may have another number of token ids."""
        self.weight = embedding.weight
        self.num_embeddings = embedding.num_embeddings
        self.resize_parts()

    def resize_parts(self) -> None:
        """Resize the parts if the id embedding's size has changed: transformers resizes it in place."""
        if self.parts_size != self.num_embeddings:
            for part in cast("list[ItemPart]", self.parts.values()):
                part.resize(self.num_embeddings)
            self.parts_size = self.num_embeddings


def beneath_adapters(module: nn.Module) -> ItemEncoder:
    """Return the encoder itself, even if a LoRA adapter wraps it."""
    encoder: Any = module
    while not hasattr(encoder, "catalogue"):
        encoder = encoder.base_layer
    return encoder
