"""Vectors of items made of their features: categories, numbers, and vectors such as a text model's.

Shape suffixes: V vocabulary, N or I items, D hidden size, P values of one item, F width of a feature's values, C codes
of a category; … any shape of token ids.
"""

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from seqrec.errors import InputError
from seqrec.interactions.category_codes import MISSING, NO_VALUE
from seqrec.interactions.item_rows import token_ids_of
from seqrec.interactions.special_tokens import NUM_SPECIAL_TOKENS
from seqrec.modeling.mean_of_values import ItemsByValue, MeanOfValues, without_unknown
from seqrec.modeling.whitening import Whitening

__all__ = ["CategoryFeature", "FeaturePart", "FeatureSum", "NumberFeature", "VectorFeature"]

NUM_NUMBER_COLUMNS = 3


class FeaturePart(nn.Module):
    """One feature's part of the items' vectors.

    The values are saved with the model's weights. Those of special tokens are all 0, which gives the vector 0.

    Args:
        name: The feature's name.
        num_rows: Number of token ids.
        missing: Values (F) of an item for which the feature is missing.

    Attributes:
        values_VF: The values by token id.
    """

    values_VF: Tensor

    def __init__(self, name: str, num_rows: int, missing: list[int] | list[float]) -> None:
        super().__init__()
        self.name, self.missing = name, missing
        dtype = torch.int32 if isinstance(missing[0], int) else torch.float32
        self.register_buffer("values_VF", torch.zeros(NUM_SPECIAL_TOKENS, len(missing), dtype=dtype))
        self.resize(num_rows)

    def forward(self, ids: Tensor) -> Tensor:
        """Return the vectors (…, D) of token ids (…)."""
        return self.embed(self.values_VF[ids.flatten()]).unflatten(0, ids.shape)

    def catalogue(self) -> Tensor:
        """Return the vectors (V, D) of all token ids."""
        return self.embed(self.values_VF)

    def embed(self, values_NF: Tensor) -> Tensor:
        """Turn values into vectors (N, D)."""
        raise NotImplementedError

    def as_rows(self, values: np.ndarray) -> np.ndarray:
        """Turn the values of items, as given to `set_feature_values`, into rows of `values_VF`.

        Raises:
            InputError: If they are not valid.
        """
        raise NotImplementedError

    def set_rows(self, rows_IF: np.ndarray, first_row: int) -> None:
        """Set the values of the last items, from a row of the catalogue on."""
        kept_VF = self.values_VF[: token_ids_of(first_row)]
        self.values_VF = torch.cat([kept_VF, torch.from_numpy(rows_IF).to(kept_VF)])

    def resize(self, vocab_size: int) -> None:
        """Change the number of token ids; the values of new items are missing."""
        old_VF = self.values_VF[:vocab_size]
        new_VF = old_VF.new_tensor(self.missing).repeat(vocab_size - len(old_VF), 1)
        self.values_VF = torch.cat([old_VF, new_VF])

    def refuse(self, what: str) -> InputError:
        """Make the error of values that are not valid."""
        return InputError(f"The values of the item feature {self.name!r} {what}.")

    def require_shape(self, values: np.ndarray, *widths: int) -> None:
        """Raise an `InputError` unless values have the shape (I, *widths)."""
        if values.shape[1:] != widths or not values.ndim:
            shape = ", ".join(["I", *map(str, widths)])
            raise self.refuse(f"have the shape {values.shape}. Give ({shape}) of them, where I is the number of items")


class CategoryFeature(FeaturePart):
    """The mean of the embeddings of an item's values; 0 for an item whose values are all unknown."""

    def __init__(self, name: str, num_rows: int, width: int, *, size: int, per_item: int) -> None:
        super().__init__(name, num_rows, [MISSING] + [NO_VALUE] * (per_item - 1))
        self.embedding = nn.Embedding(size, width, padding_idx=NO_VALUE)
        self.order: ItemsByValue | None = None

    def embed(self, values_NF: Tensor) -> Tensor:
        """Average the embeddings of codes."""
        codes_NF = without_unknown(values_NF)
        return nn.functional.embedding_bag(codes_NF, self.embedding.weight, mode="mean", padding_idx=NO_VALUE)

    def catalogue(self) -> Tensor:
        """Return the vectors of all token ids."""
        weight_CD = self.embedding.weight
        if not (torch.is_grad_enabled() and weight_CD.requires_grad) or torch.compiler.is_compiling():
            return super().catalogue()
        if self.order is None or self.order.codes_VP is not self.values_VF:
            self.order = ItemsByValue.of(self.values_VF, len(weight_CD))
        return MeanOfValues.apply(weight_CD, self.order)

    def as_rows(self, values: np.ndarray) -> np.ndarray:
        """Check codes (I, P)."""
        size, per_item = self.embedding.num_embeddings, len(self.missing)
        self.require_shape(values, per_item)
        if not np.issubdtype(values.dtype, np.integer) or not ((values >= 0) & (values < size)).all():
            raise self.refuse(f"must be integers from 0 to {size - 1}, as the model has {size} codes")
        if not (values > NO_VALUE).any(axis=1).all():
            raise self.refuse(f"are all 0 for one item. Give the code {MISSING} to an item without a value")
        return values.astype(np.int32)


class NumberFeature(FeaturePart):
    """A linear function x·w + b of a standardised number, or a vector of its own if the number is missing.

    The columns of its values are x, 1 if the number is known, and 1 if it is missing.
    """

    def __init__(self, name: str, num_rows: int, width: int) -> None:
        super().__init__(name, num_rows, [0.0, 0.0, 1.0])
        self.projection = nn.Linear(NUM_NUMBER_COLUMNS, width, bias=False)

    def embed(self, values_NF: Tensor) -> Tensor:
        """Project numbers."""
        return self.projection(values_NF.to(self.projection.weight.dtype))

    def as_rows(self, values: np.ndarray) -> np.ndarray:
        """Turn numbers (I), NaN if missing, into rows (I, 3)."""
        self.require_shape(values)
        is_missing_I = np.isnan(values)
        numbers_I = np.where(is_missing_I, 0, values)
        if not np.isfinite(numbers_I).all():
            raise self.refuse("must be finite, or NaN if missing")
        return np.stack([numbers_I, ~is_missing_I, is_missing_I], axis=1).astype(np.float32)


class VectorFeature(FeaturePart):
    """A projection of whitened vectors, scaled to length 1, or a vector of its own if an item's vector is missing.

    The last column of its values is 1 if the vector is missing. The first values set are those by which all vectors
    are whitened, those of later items too.
    """

    def __init__(self, name: str, num_rows: int, width: int, *, size: int) -> None:
        super().__init__(name, num_rows, [0.0] * size + [1.0])
        self.projection = nn.Linear(size + 1, width, bias=False)
        self.whitening = Whitening(size)

    def embed(self, values_NF: Tensor) -> Tensor:
        """Project vectors."""
        return self.projection(values_NF.to(self.projection.weight.dtype))

    def as_rows(self, values: np.ndarray) -> np.ndarray:
        """Turn vectors (I, F), all NaN or all 0 if missing, into rows (I, F + 1)."""
        self.require_shape(values, len(self.missing) - 1)
        is_missing_I = (np.isnan(values) | (values == 0)).all(axis=1)
        vectors_IF = np.where(is_missing_I[:, None], 0, values).astype(np.float64)
        if not np.isfinite(vectors_IF).all():
            raise self.refuse("must be finite, or all NaN for an item whose vector is missing")
        return np.concatenate([of_length_1(vectors_IF), is_missing_I[:, None]], axis=1)

    def set_rows(self, rows_IF: np.ndarray, first_row: int) -> None:
        """Whiten the vectors of the last items and set them."""
        is_known_I = rows_IF[:, -1] == 0
        if is_known_I.any():
            known_IF = rows_IF[is_known_I, :-1]
            if not self.whitening.is_fitted:
                self.whitening.fit(known_IF)
            rows_IF[is_known_I, :-1] = of_length_1(self.whitening(known_IF))
        super().set_rows(rows_IF, first_row)


def of_length_1(vectors_IF: np.ndarray) -> np.ndarray:
    """Scale vectors to length 1; those of length 0 stay as they are."""
    lengths_I1 = np.linalg.norm(vectors_IF, axis=1, keepdims=True)
    return vectors_IF / np.where(lengths_I1 > 0, lengths_I1, 1)


KINDS: dict[str, type[FeaturePart]] = {"category": CategoryFeature, "number": NumberFeature, "vector": VectorFeature}


class FeatureSum(nn.ModuleList):
    """The sum of the features' parts, in the order of their names.

    Args:
        config: The model's configuration.
    """

    def __init__(self, config: Any) -> None:
        parts = []
        for name in sorted(config.item_features):  # saving sorts them too, and sums depend on the order
            entries = dict(config.item_features[name])
            parts.append(KINDS[entries.pop("kind")](name, config.vocab_size, config.hidden_size, **entries))
        super().__init__(parts)

    def forward(self, ids: Tensor) -> Tensor:
        """Return the vectors (…, D) of token ids (…)."""
        return total([part(ids) for part in self.parts])

    def catalogue(self) -> Tensor:
        """Return the vectors (V, D) of all token ids."""
        return total([part.catalogue() for part in self.parts])

    @property
    def parts(self) -> list[FeaturePart]:
        """The features' parts."""
        return cast("list[FeaturePart]", list(self))

    def set_values(self, values: Mapping[str, np.ndarray], first_row: int) -> None:
        """See `NextItemHead.set_feature_values`."""
        known = [part.name for part in self.parts]
        if values.keys() != {*known}:
            given = ", ".join(values) or "none"
            raise InputError(
                f"Values of the item features {given} were given, but the model reads {', '.join(known)}. Give the "
                "values of exactly these."
            )
        numbers = {name: len(np.atleast_1d(array)) for name, array in values.items()}
        num_rows = len(self.parts[0].values_VF) - NUM_SPECIAL_TOKENS - first_row
        if set(numbers.values()) != {num_rows}:
            raise InputError(
                f"Values of {shown_numbers(numbers)} items were given, but the model has {num_rows} items from row "
                f"{first_row} on. Give the values of all of these."
            )
        rows = [
            part.as_rows(np.asarray(values[part.name])) for part in self.parts
        ]  # nothing is set unless all are valid
        for part, rows_IF in zip(self.parts, rows, strict=True):
            part.set_rows(rows_IF, first_row)

    def resize(self, vocab_size: int) -> None:
        """Change the number of token ids; the features of new items are missing."""
        for part in self.parts:
            part.resize(vocab_size)


def total(vectors: list[Tensor]) -> Tensor:
    """Add tensors that nothing else reads, from first to last, into the first one if its dtype allows it."""
    first, *others = vectors
    for other in others:
        fits = torch.promote_types(first.dtype, other.dtype) == first.dtype
        first = first.add_(other) if fits else first + other
    return first


def shown_numbers(numbers: Mapping[str, int]) -> str:
    """Format a number, or each feature's number if they differ."""
    if len(set(numbers.values())) == 1:
        return str(next(iter(numbers.values())))
    return ", ".join(f"{number} ({name})" for name, number in numbers.items())
