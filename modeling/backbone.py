"""The backbone that all architectures share: it turns histories into hidden states and vectors.

Shape suffixes: B batch, L length, V vocabulary, D hidden size, W windows of recent popularity.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from transformers import DynamicCache
from transformers.modeling_outputs import BaseModelOutput
from transformers.utils import logging
from transformers.utils.output_capturing import capture_outputs

from seqrec.configuration.configuration_next_item import NextItemConfig
from seqrec.errors import InputError
from seqrec.modeling.dropout import Dropout
from seqrec.modeling.event_parts import event_times, make_event_parts, refuse_unread_columns, sum_events
from seqrec.modeling.item_encoder import ItemEncoder, beneath_adapters
from seqrec.modeling.objectives import NEXT_ITEM, Objective
from seqrec.modeling.past_labels import PastLabel
from seqrec.modeling.pretrained import NextItemPreTrainedModel
from seqrec.modeling.recent_counts import PopularityWeights, RecentCounts, days_of
from seqrec.modeling.sequence_layout import SequenceLayout, newest_position, take_position

__all__ = ["NextItemBackbone"]

logger = logging.get_logger(__name__)


class NextItemBackbone(NextItemPreTrainedModel):
    """Base class of backbones, which turn histories into user vectors and the catalogue into item vectors.

    It consists of an item encoder, parts for an event's other columns, and a network over the events. The score of an
    item for a user is the dot product of their vectors. Architectures define the network: they build it in `__init__`,
    which ends with `self.post_init()`, and run it in `encode_sequences`. Transformers are `TransformerBackbone`s.

    Attributes:
        position_classes: Module classes by `config.position_embedding_type`; empty if the network has no positions.
        objective: The training objective.
    """

    _keys_to_ignore_on_load_unexpected: ClassVar[list[str]] = [r"^task_heads\."]  # of a head that it is loaded from
    position_classes: ClassVar[Mapping[str, type[nn.Module]]] = {}
    objective: Objective = NEXT_ITEM

    def __init__(self, config: NextItemConfig, **unknown: Any) -> None:
        super().__init__(config, **unknown)
        self.item_embedding = ItemEncoder(config)
        self.event_columns = config.event_columns
        self.event_parts = make_event_parts(config)
        # SASRec's code, though not its paper, scales items by √D; otherwise positions would dominate them.
        self.input_scale = config.hidden_size**0.5
        self.embedding_dropout = Dropout(config.hidden_dropout)
        has_windows = bool(config.popularity_windows)
        self.recent_counts = RecentCounts(config) if has_windows else None
        self.popularity_weights = PopularityWeights(config) if has_windows else None

    def get_input_embeddings(self) -> ItemEncoder:
        """Return the item encoder, which is also the items' id embedding."""
        return self.item_embedding

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """Replace the item encoder or, if `value` is a plain embedding, its id embedding."""
        if isinstance(value, ItemEncoder):
            self.item_embedding = value
            value.resize_parts()
        else:
            self.item_embedding.replace_embedding(value)
        num_embeddings = self.item_encoder.num_embeddings
        for part in self.event_parts.values():
            if isinstance(part, PastLabel):
                part.resize(num_embeddings)
        if self.recent_counts is not None:
            self.recent_counts.resize(num_embeddings)

    @property
    def item_encoder(self) -> ItemEncoder:
        """The item encoder itself, even if an adapter wraps it."""
        return beneath_adapters(self.item_embedding)

    def set_feature_values(self, values: Mapping[str, np.ndarray], first_row: int = 0) -> None:
        """Set the items' values of the features that the model reads (`config.item_features`).

        They are saved with the model's weights. Until they are set, all are missing.

        Args:
            values: Arrays by feature, whose rows are the items in the order of their token ids. Categories are integer
                codes (I, `per_item`): 0 after an item's last value, 1 if it has none, 2 for an unknown value, and 3 and
                above for the others. Numbers (I) are standardised; NaN if missing. Vectors have the shape (I, `size`);
                NaN or 0 throughout if missing. They are whitened by the first values set.
            first_row: Row of the first of these items in the catalogue; earlier items keep their values. The last of
                these items must be the last of the catalogue.

        Raises:
            InputError: If these are not the values of exactly the model's features and items, or are not valid.
        """
        features = self.item_encoder.features
        if features is None:
            raise InputError("The model reads no item features (config.item_features), so it cannot have values.")
        features.set_values(values, first_row)

    @capture_outputs
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        query_position: Tensor | int | None = None,
        **columns: Any,
    ) -> BaseModelOutput:
        """Encode every position of every history; for arguments, see `NextItemHead.forward`.

        With `query_position`, (B,) or one number for all rows, only that position of each row is returned.

        Returns:
            `last_hidden_state` (B, L, D), or (B, 1, D) with `query_position`.

        Raises:
            InputError: If a row is longer than `config.max_position_embeddings`, both or neither of `input_ids` and
                `inputs_embeds` are given, an event column is missing, or the attention implementation is known to
                compute wrong results here.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise InputError("Give exactly one of input_ids and inputs_embeds.")
        if columns.get("output_attentions") and self.config._attn_implementation != "eager":
            logger.warning_once("Only attn_implementation='eager' returns attentions. Load the model with it.")
        if inputs_embeds is None:
            inputs_embeds, columns = self.item_embedding(input_ids), {**columns, "input_ids": input_ids}
        elif self.config.past_labels:
            raise InputError("A model that reads past labels needs input_ids, the items that have the labels.")
        hidden_BLD = self.encode_events(inputs_embeds, columns, attention_mask, position_ids, query_position)
        return BaseModelOutput(last_hidden_state=hidden_BLD)

    def encode_events(
        self,
        items_BLD: Tensor,
        columns: dict[str, Tensor],
        attention_mask_BL: Tensor | None = None,
        position_ids_BL: Tensor | None = None,
        query_position: Tensor | int | None = None,
    ) -> Tensor:
        """Turn item vectors and the events' other columns into hidden states: `forward` without captured outputs."""
        self.check_length(items_BLD.shape[1])
        layout = SequenceLayout(attention_mask_BL, position_ids_BL, *event_times(self.event_columns, columns))
        return self.encode_sums(sum_events(self.event_parts, items_BLD, columns, layout), layout, query_position)

    def encode_sums(
        self, events_BLD: Tensor, layout: SequenceLayout, query_position: Tensor | int | None = None
    ) -> Tensor:
        """Turn the sums of the events' parts, not yet scaled, into hidden states; see `encode_events`."""
        hidden_BLD = events_BLD * self.input_scale
        if query_position is None:
            return self.encode_sequences(hidden_BLD, layout)
        return self.encode_queries(hidden_BLD, layout, query_position)

    def encode_sequences(self, events_BLD: Tensor, layout: SequenceLayout) -> Tensor:
        """Turn the events' vectors into hidden states; each architecture defines it.

        Args:
            events_BLD: Sums of the events' parts, scaled by √D, before `embedding_dropout`.
            layout: Where histories lie in the rows. Each must be read alone, and padding must not affect it.

        Returns:
            Hidden states (B, L, D); arbitrary ones at padding.
        """
        raise NotImplementedError(f"{type(self).__name__} needs a method encode_sequences(events_BLD, layout).")

    def encode_queries(self, events_BLD: Tensor, layout: SequenceLayout, query_position: Tensor | int) -> Tensor:
        """Return the hidden state (B, 1, D) of one position of each row; override it if the others can be saved.

        Args:
            events_BLD: As in `encode_sequences`.
            layout: As in `encode_sequences`.
            query_position: The positions (B,), or one position for all rows.
        """
        return take_position(self.encode_sequences(events_BLD, layout), query_position)

    def check_length(self, length: int) -> None:
        """Raise an `InputError` if rows are longer than the model can read."""
        if length > self.config.max_position_embeddings:
            raise InputError(
                f"A row of {length} positions was given, but this model reads at most "
                f"{self.config.max_position_embeddings} (config.max_position_embeddings). Keep the newest "
                f"{self.config.max_history_length} items of each history."
            )

    def encode_users(self, input_ids: Tensor, attention_mask: Tensor | None = None, **columns: Tensor) -> Tensor:
        """Turn each row's history into a user vector.

        It is the hidden state of the newest item or, in models that fill in masked items, of a mask token appended to
        the history. Its product with item vectors is the score by which `Recommender` ranks:
        `model.encode_users(input_ids) @ model.encode_items().T`. Nothing else is added: user vectors already hold
        `logit_scale` and the weights of `popularity_windows`.

        Args:
            input_ids: Token ids (B, L), oldest first, padded on either side; one history per row. Ids 0 to 2 are
                special tokens; items begin at 3.
            attention_mask: 1 for items, 0 for padding (B, L); None if nothing is padded.
            **columns: The events' other columns (B, L) that the model reads (`config.event_columns`).

        Returns:
            User vectors (B, D + W).

        Raises:
            InputError: As in `forward`, and if the model does not read a column.
        """
        refuse_unread_columns(self.event_columns, columns)
        input_ids, attention_mask, columns = self.objective.request(input_ids, attention_mask, columns)
        newest = newest_position(input_ids, attention_mask)
        columns = {**columns, "input_ids": input_ids}
        hidden_B1D = self.encode_events(self.item_embedding(input_ids), columns, attention_mask, query_position=newest)
        return self.as_users(hidden_B1D[:, 0])

    @property
    def supports_cache(self) -> bool:
        """Whether `encode_users_with_cache` works: whether events added to a history leave the states of others alone.

        It takes causal attention, positions and times that count relative to the event that reads them, and the
        attention implementations "sdpa" or "eager".
        """
        return False

    def encode_users_with_cache(
        self,
        caches: Sequence[DynamicCache],
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        **columns: Tensor,
    ) -> Tensor:
        """Return the vectors of `encode_users` for histories that grow, computing only the states of new events.

        Args:
            caches: One for each history, of length 1, with keys and values of its first events: at first an empty
                `DynamicCache()`. Those of the other events, of which there must be at least one, are added to it. If
                the model reads the time of a request (`request_time` is "target"), the newest event's depend on it:
                remove them again by `crop(-1)`.
            input_ids: Token ids of whole histories (B, L), oldest first, padded on the right.
            attention_mask: 1 for items, 0 for padding (B, L); None if nothing is padded.
            **columns: The events' other columns (B, L) that the model reads.

        Returns:
            User vectors (B, D + W).

        Raises:
            InputError: If the model cannot do this (`supports_cache`), or as in `encode_users`.
        """
        if not self.supports_cache:
            raise InputError(
                "This model has no use for a cache: each new event changes the states of all earlier ones. Call "
                "encode_users, or train a causal model with position_embedding_type 'rotary' or 'relative'."
            )
        refuse_unread_columns(self.event_columns, columns)
        self.check_length(input_ids.shape[1])
        layout = SequenceLayout(attention_mask, None, *event_times(self.event_columns, columns))
        items_BLD, columns = self.item_embedding(input_ids), {**columns, "input_ids": input_ids}
        events_BLD = sum_events(self.event_parts, items_BLD, columns, layout) * self.input_scale
        lengths_B = [input_ids.shape[1]] * len(input_ids) if attention_mask is None else attention_mask.sum(1).tolist()
        return self.as_users(self.encode_growing(events_BLD, layout, caches, lengths_B)[:, 0])

    def encode_growing(
        self, events_BLD: Tensor, layout: SequenceLayout, caches: Sequence[DynamicCache], lengths_B: Sequence[int]
    ) -> Tensor:
        """Return the hidden state (B, 1, D) of each history's newest event; define it if `supports_cache`.

        Args:
            events_BLD: As in `encode_sequences`.
            layout: As in `encode_sequences`, padded on the right.
            caches: See `encode_users_with_cache`.
            lengths_B: Number of events of each history, more than its cache holds.
        """
        raise NotImplementedError(f"{type(self).__name__} supports a cache, so it needs a method encode_growing.")

    def encode_items(self, ids: Tensor | None = None) -> Tensor:
        """Return the vectors by which items are scored for a request made now.

        They are those of `item_vectors`, followed by the items' latest counts if the model reads recent popularity.
        The product with the vectors of `encode_users` is the score: `users @ items.T`.

        Args:
            ids: Token ids (…); None for all, including special tokens, which are never recommended.

        Returns:
            (…, D + W), or (V, D + W) for all: row t belongs to token id t.

        Example:
            >>> import torch
            >>> from seqrec import SasRecConfig, SasRecForNextItem
            >>> model = SasRecForNextItem(SasRecConfig(vocab_size=13)).eval()  # 3 special tokens and 10 items
            >>> users = model.encode_users(torch.tensor([[1, 2, 3, 4, 5]]) + 3)  # items 1 to 5
            >>> (users @ model.encode_items().T).shape
            torch.Size([1, 13])
        """
        vectors = self.item_vectors(ids)
        if self.recent_counts is None:
            return vectors
        return torch.cat([vectors, self.recent_counts.latest(ids).to(vectors.dtype)], dim=-1)

    def item_vectors(self, ids: Tensor | None = None) -> Tensor:
        """Return the vectors (…, D) of token ids (…), or (V, D) of all token ids, including special tokens."""
        if ids is None:
            return self.as_items(self.item_encoder.catalogue())
        return self.as_items(self.item_embedding(ids))

    def as_users(self, hidden: Tensor) -> Tensor:
        """Turn hidden states (…, D) into user vectors (…, D + W).

        Their first D numbers are scaled to length `logit_scale` if it is set. The others are the weights of the windows
        of recent popularity.
        """
        scale = self.config.logit_scale
        users = hidden if scale is None else scale * nn.functional.normalize(hidden, dim=-1)
        if self.popularity_weights is None:
            return users
        return torch.cat([users, self.popularity_weights(hidden)], dim=-1)

    def split_users(self, users: Tensor) -> tuple[Tensor, Tensor]:
        """Divide user vectors into what weights `item_vectors` (…, D), and the weights of the windows (…, W)."""
        size = self.config.hidden_size
        return users[..., :size], users[..., size:]

    def request_days(self, columns: dict[str, Tensor]) -> Tensor | None:
        """Return the days (B, L) on which the items after events are asked for, if the model reads recent popularity.

        Raises:
            InputError: If a column of times is missing.
        """
        if self.recent_counts is None:
            return None
        _, asked_BL = event_times(self.event_columns, columns)
        assert asked_BL is not None
        return days_of(asked_BL)

    def as_items(self, embeddings: Tensor) -> Tensor:
        """Turn item embeddings (…, D) into item vectors, scaled to length 1 if `logit_scale` is set."""
        return embeddings if self.config.logit_scale is None else nn.functional.normalize(embeddings, dim=-1)
