"""Histories that grow: keys and values of known events are kept, so that only new events need to be encoded.

Shape suffixes: B histories, L length, P places of known events, Q places of new events, K = P + Q keys, H heads, E size
of a head.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache

__all__ = ["GrowingHistories", "join_caches", "keep_new"]


@dataclass(frozen=True)
class GrowingHistories:
    """Where the events of growing histories lie among the keys of attention: known ones, then new ones.

    Rows end with their newest event in both parts. Where a row has fewer known events than others, its part begins with
    empty places; where it has fewer new events, with known ones, which are no keys there. B is 1 if all rows are alike.

    Attributes:
        queries_BQ: Index in its history of each event to encode; 0 in empty places.
        keys_BK: Index in its history of each key; 0 in empty places.
        is_key_BK: Whether a place holds a key; None if all do.
    """

    queries_BQ: Tensor
    keys_BK: Tensor
    is_key_BK: Tensor | None

    @classmethod
    def of(cls, known_B: Sequence[int], lengths_B: Sequence[int], device: torch.device) -> "GrowingHistories":
        """Arrange histories of these lengths, whose first `known_B` events are known."""
        if len(set(known_B)) == len(set(lengths_B)) == 1:
            keys_1K = torch.arange(lengths_B[0], device=device)[None]
            return cls(keys_1K[:, known_B[0] :], keys_1K, None)
        most_new = max(length - known for known, length in zip(known_B, lengths_B, strict=True))
        known_B1 = torch.tensor(known_B, device=device)[:, None]
        lengths_B1 = torch.tensor(lengths_B, device=device)[:, None]
        known_BP = known_B1 - torch.arange(max(known_B), 0, -1, device=device)
        new_BQ = lengths_B1 - torch.arange(most_new, 0, -1, device=device)
        is_key_BK = torch.cat([known_BP >= 0, new_BQ >= known_B1], dim=1)
        return cls(new_BQ.clamp(min=0), torch.cat([known_BP, new_BQ], dim=1).clamp(min=0), is_key_BK)

    def mask(self) -> Tensor | None:
        """Return which keys each query sees (B, 1, Q, K): itself and those before it; None if it sees all."""
        if self.is_key_BK is None and self.queries_BQ.shape[1] == 1:
            return None
        sees_BQK = self.keys_BK[:, None] <= self.queries_BQ[:, :, None]
        return (sees_BQK if self.is_key_BK is None else sees_BQK & self.is_key_BK[:, None])[:, None]

    def of_queries(self, values: Tensor) -> Tensor:
        """Select the events to encode from values of all events (B, L, …)."""
        return of_places(values, self.queries_BQ)

    def of_keys(self, values: Tensor) -> Tensor:
        """Select the keys from values of all events (B, L, …)."""
        return of_places(values, self.keys_BK)


def of_places(values: Tensor, places_BQ: Tensor) -> Tensor:
    """Select places (B, Q) of each row from values (B, L, …); (1, Q) for all rows."""
    if len(places_BQ) == 1:
        return values[:, places_BQ[0]]
    return values[torch.arange(len(values), device=values.device)[:, None], places_BQ]


def join_caches(caches: Sequence[DynamicCache]) -> DynamicCache:
    """Return the keys and values of several histories as a batch, each row ending with its newest; one stays itself."""
    if len(caches) == 1:
        return caches[0]
    joined = DynamicCache()
    longest = max(cache.get_seq_length() for cache in caches)
    num_layers = max(len(cache.layers) for cache in caches)
    for index in range(num_layers):
        joined.update(at_end(caches, index, "keys", longest), at_end(caches, index, "values", longest), index)
    return joined


def at_end(caches: Sequence[DynamicCache], layer_idx: int, name: str, length: int) -> Tensor:
    """Return the keys or values (B, H, P, E) of a layer, with zeros before those of shorter histories."""
    filled = {row: getattr(cache.layers[layer_idx], name) for row, cache in enumerate(caches) if cache.get_seq_length()}
    example_1HPE = next(iter(filled.values()))
    states_BHPE = example_1HPE.new_zeros(len(caches), example_1HPE.shape[1], length, example_1HPE.shape[3])
    for row, states_1HPE in filled.items():
        states_BHPE[row, :, length - states_1HPE.shape[2] :] = states_1HPE[0]
    return states_BHPE


def keep_new(caches: Sequence[DynamicCache], joined: DynamicCache, num_new_B: Sequence[int]) -> None:
    """Add to each history's cache its new keys and values, the last ones of its row in the batch."""
    if len(caches) == 1:
        return
    for index, layer in enumerate(joined.layers):
        for row, (cache, num_new) in enumerate(zip(caches, num_new_B, strict=True)):
            new = slice(layer.keys.shape[2] - num_new, None)
            cache.update(layer.keys[row, None, :, new], layer.values[row, None, :, new], index)
