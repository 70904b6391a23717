"""Items as vectors: an embedding of their token ids, and whatever other parts are summed with it.

Shape suffixes: V vocabulary, D hidden size; … any shape of token ids.
"""

from typing import Any, ClassVar, TypeVar, cast

from torch import Tensor, nn

from seqrec.errors import InputError
from seqrec.interactions.special_tokens import PAD_ID


class ItemPart(nn.Module):
    """One part of the items' vectors, such as a projection of their descriptions' embeddings.

    A subclass has a `name`, by which `config.item_parts` asks for it. What it computes from belongs in parameters or
    persistent buffers, which are saved with the model's weights.

    Args:
        config: The model's configuration.
    """

    name: ClassVar[str]

    def __init__(self, config: Any) -> None:
        super().__init__()

    def forward(self, ids: Tensor) -> Tensor:
        """Return the vectors (…, D) of token ids (…), special tokens among them."""
        raise NotImplementedError(f"{type(self).__name__} needs a method forward(ids).")

    def catalogue(self) -> Tensor:
        """Return the vectors (V, D) of all token ids."""
        raise NotImplementedError(f"{type(self).__name__} needs a method catalogue().")

    def resize(self, vocab_size: int) -> None:
        """Make room for other numbers of token ids than before; new ones come last."""
        raise InputError(f"The item part {self.name!r} cannot be resized: it has no method resize(vocab_size).")


ITEM_PARTS: dict[str, type[ItemPart]] = {}
Part = TypeVar("Part", bound=type[ItemPart])


def register_item_part(part: Part) -> Part:
    """Make a class of item parts known by its name; to be used as a decorator.

    Raises:
        InputError: If the name is no identifier, or another class has it.
    """
    name = part.name
    if not name.isidentifier() or hasattr(nn.ModuleDict, name):
        raise InputError(f"An item part cannot be called {name!r}: take another identifier.")
    if ITEM_PARTS.setdefault(name, part) is not part:
        raise InputError(f"There is another item part {name!r}, {ITEM_PARTS[name].__qualname__}. Rename one.")
    return part


def item_part(name: str) -> type[ItemPart]:
    """Look a class of item parts up.

    Raises:
        InputError: If none of that name is registered.
    """
    if name not in ITEM_PARTS:
        raise InputError(
            f"No item part {name!r} is registered (config.item_parts). Import the module that registers it, or load "
            "the model with trust_remote_code=True where it was saved with its code."
        )
    return ITEM_PARTS[name]


class ItemEncoder(nn.Embedding):
    """The sum of the items' id embedding, which is this module itself, and its parts.

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
        """Return the vectors (V, D) of all token ids, special tokens included."""
        vectors_VD: Tensor = self.weight
        for part in cast("list[ItemPart]", self.parts.values()):
            vectors_VD = vectors_VD + part.catalogue()
        return vectors_VD

    def replace_embedding(self, embedding: nn.Embedding) -> None:
        """Take over another id embedding, perhaps of another number of token ids."""
        self.weight = embedding.weight
        self.num_embeddings = embedding.num_embeddings
        self.resize_parts()

    def resize_parts(self) -> None:
        """Tell the parts if the id embedding has become larger or smaller, as the library resizes it in place."""
        if self.parts_size != self.num_embeddings:
            for part in cast("list[ItemPart]", self.parts.values()):
                part.resize(self.num_embeddings)
            self.parts_size = self.num_embeddings


def beneath_adapters(module: nn.Module) -> ItemEncoder:
    """Return the encoder itself, where a LoRA adapter wraps it."""
    encoder: Any = module
    while not hasattr(encoder, "catalogue"):
        encoder = encoder.base_layer
    return encoder
