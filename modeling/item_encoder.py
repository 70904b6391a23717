"""Items as vectors: the sum of an embedding of their token ids, their features, and any further parts.

Shape suffixes: V vocabulary, U different token ids, D hidden size; … any shape of token ids.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Self, TypeVar, cast

import torch
from torch import Tensor, nn

from seqrec.errors import InputError
from seqrec.interactions.special_tokens import NUM_SPECIAL_TOKENS, PAD_ID
from seqrec.modeling.bounded_sum import BoundedSum, bounded_sum
from seqrec.modeling.feature_parts import FeatureSum
from seqrec.modeling.kept_vectors import KeptVectors

__all__ = ["ITEM_PARTS", "ItemEncoder", "ItemPart", "beneath_adapters", "register_item_part"]

BLOCK = 1024  # items encoded at once where vectors are kept


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
    """Items as vectors: an embedding of their ids, which is this module itself, plus their features and further parts.

    If the items have features, `config.item_id_embedding` says how the id's embedding is added: as it is ("free"); so
    that it is at most `config.item_id_bound` long next to features and parts that together have length 1 ("bounded",
    after "Let It Go? Not Quite", RecSys 2025); or not at all ("none"), so that the weight has no columns and only
    special tokens have vectors of their own. The vectors of all items are then kept between requests.

    Attributes:
        parts: The further parts, by their names.
        features: The sum of the features' parts; None if items have no features.
        special_tokens: Vectors of the special tokens if ids have none; the last row is 0, for all items.
        shards: Which process holds which rows, in a `ShardedItems`; None where this process holds all.

    Raises:
        InputError: If the id's embedding is to be bounded or left out, but items have no features.
    """

    shards: Any = None

    def __init__(self, config: Any) -> None:
        has_ids = config.item_id_embedding != "none"
        super().__init__(config.vocab_size, config.hidden_size if has_ids else 0, padding_idx=PAD_ID)
        self.parts = nn.ModuleDict({name: item_part(name)(config) for name in config.item_parts})
        self.parts_size = config.vocab_size
        self.features = FeatureSum(config) if config.item_features else None
        self.bound = config.item_id_bound if config.item_id_embedding == "bounded" else None
        self.special_tokens = None
        if config.item_id_embedding != "free" and self.features is None:
            raise InputError(
                f"item_id_embedding={config.item_id_embedding!r} needs item_features, which are empty. Name features, "
                "or choose item_id_embedding='free'."
            )
        if not has_ids:
            size = NUM_SPECIAL_TOKENS + 1
            self.special_tokens = nn.Embedding(size, config.hidden_size, padding_idx=NUM_SPECIAL_TOKENS)
        self.kept = KeptVectors()
        self.shared_VD: Tensor | None = None

    def forward(self, input: Tensor) -> Tensor:
        """Return the vectors (…, D) of token ids (…)."""
        if self.features is None:
            vectors = super().forward(input)
            for part in self.parts.values():
                vectors = vectors + part(input)
            return vectors
        if torch.compiler.is_compiling():
            return self.encode(input)
        vectors_VD = self.encoded_catalogue()
        if vectors_VD is not None:
            return nn.functional.embedding(input, vectors_VD)
        distinct_U, places = input.unique(return_inverse=True)
        return nn.functional.embedding(places, self.encode(distinct_U))

    def catalogue(self) -> Tensor:
        """Return the vectors (V, D) of all token ids, including special tokens."""
        if self.features is not None:
            found_VD = self.encoded_catalogue()
            return self.encode() if found_VD is None else found_VD
        vectors_VD: Tensor = self.weight
        for part in cast("list[ItemPart]", self.parts.values()):
            vectors_VD = vectors_VD + part.catalogue()
        return vectors_VD

    @contextmanager
    def encoded_once(self) -> Iterator[None]:
        """Encode all items once, with their gradient, for all that is asked for within; only if they have features."""
        if self.features is None or not torch.is_grad_enabled():
            yield
            return
        self.shared_VD = self.catalogue()
        try:
            yield
        finally:
            self.shared_VD = None

    def encoded_catalogue(self) -> Tensor | None:
        """Return the vectors of all token ids if these are shared or kept; encode them if they are to be kept."""
        if self.training or torch.is_grad_enabled() or torch.compiler.is_compiling():
            self.kept.forget()  # as the weights are about to change
            return self.shared_VD
        kept_VD = self.kept.get()
        return self.kept.keep(self, self.encode_in_blocks()) if kept_VD is None else kept_VD

    def encode_in_blocks(self) -> Tensor:
        """Encode all token ids in blocks of one size.

        The last bit of a matrix product may depend on the number of rows. In blocks of one size, new items, which come
        last, leave the vectors of all others as they were.
        """
        device = self.weight.device
        blocks = nn.functional.pad(
            torch.arange(self.num_embeddings, device=device), (0, -self.num_embeddings % BLOCK), value=PAD_ID
        ).split(BLOCK)
        with torch.inference_mode(False), torch.no_grad(), torch.autocast(device.type, enabled=False):
            return torch.cat([self.encode(block) for block in blocks])[: self.num_embeddings]

    def encode(self, ids: Tensor | None = None) -> Tensor:
        """Compute the vectors of token ids (…), or of all: (…, D) or (V, D)."""
        assert self.features is not None
        content = self.features.catalogue() if ids is None else self.features(ids)
        for part in cast("list[ItemPart]", self.parts.values()):
            content = content + (part.catalogue() if ids is None else part(ids))
        own = self.own_vectors(ids)
        if self.bound is None:
            return own + content
        if ids is None and torch.is_grad_enabled() and not torch.compiler.is_compiling():
            return BoundedSum.apply(own, content, self.bound)
        return bounded_sum(own, content, self.bound)

    def own_vectors(self, ids: Tensor | None) -> Tensor:
        """Return the embeddings of token ids (…), or of all: (…, D) or (V, D)."""
        own = self.weight if ids is None else super().forward(ids)
        if self.special_tokens is None:
            return own
        ids = torch.arange(self.num_embeddings, device=own.device) if ids is None else ids
        # The weight has no columns. It stays part of the graph, as distributed training expects of weights.
        return torch.cat([own, self.special_tokens(ids.clamp(max=NUM_SPECIAL_TOKENS))], dim=-1)

    def train(self, mode: bool = True) -> Self:
        """Set the mode; vectors kept in evaluation are not needed in training."""
        self.kept.forget()
        return super().train(mode)

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
            if self.features is not None:
                self.features.resize(self.num_embeddings)
                with torch.no_grad():
                    self.weight[self.parts_size :] = 0  # nothing is known of new items but their features
            self.parts_size = self.num_embeddings


def beneath_adapters(module: nn.Module) -> ItemEncoder:
    """Return the encoder itself, even if a LoRA adapter wraps it."""
    encoder: Any = module
    while not hasattr(encoder, "catalogue"):
        encoder = encoder.base_layer
    return encoder
