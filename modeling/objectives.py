"""Training objectives: what a model learns to predict, and the batches, masks and requests that this needs.

Shape suffixes: B batch, L length.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from seqrec.interactions.collators import MaskedItemCollator, NextItemCollator
from seqrec.interactions.events import TIME_COLUMNS, event_column
from seqrec.interactions.special_tokens import MASK_ID, PAD_ID
from seqrec.modeling.masks import AttentionMask, bidirectional_mask, causal_mask

__all__ = ["MASKED_ITEM", "NEXT_ITEM", "Objective", "training_collator"]

Request = tuple[Tensor, Tensor | None, dict[str, Tensor]]


class Objective(ABC):
    """A training objective, set by each backbone.

    Attributes:
        name: Key of its loss in `NextItemOutput.losses`.
        auto_class: Auto class of transformers that loads heads with this objective if seqrec is not installed.
        is_causal: Whether positions cannot see later ones.
    """

    name: str
    auto_class: str
    is_causal: bool

    @abstractmethod
    def collator(
        self, config: Any, tokenizer: PreTrainedTokenizerBase, *, packing: bool = True, seed: int | None = None
    ) -> NextItemCollator | MaskedItemCollator:
        """Return the collator that turns histories into training batches; for arguments, see `training_collator`."""

    @abstractmethod
    def mask(
        self, config: Any, hidden_BLD: Tensor, attention_mask_BL: Tensor | None, position_ids_BL: Tensor | None
    ) -> AttentionMask:
        """Return the attention mask; for arguments, see `causal_mask`."""

    @abstractmethod
    def request(self, input_ids_BL: Tensor, attention_mask_BL: Tensor | None, columns: Mapping[str, Tensor]) -> Request:
        """Prepare histories so that the hidden state at the newest position becomes the user vector.

        Args:
            input_ids_BL: Token ids, padded on either side.
            attention_mask_BL: 1 for items, 0 for padding; None if nothing is padded.
            columns: Further event columns (B, L), by name.

        Returns:
            The three inputs, with L + 1 positions if the objective appends one.
        """


class NextItemObjective(Objective):
    """Predict, at each position, the following item from this position and those before it."""

    name = "next_item"
    auto_class = "AutoModelForCausalLM"
    is_causal = True

    def collator(
        self, config: Any, tokenizer: PreTrainedTokenizerBase, *, packing: bool = True, seed: int | None = None
    ) -> NextItemCollator:
        """See `Objective.collator`."""
        return NextItemCollator(
            tokenizer,
            config.max_position_embeddings,
            packing=packing,
            columns=config.event_columns,
            label_columns=config.label_tasks,
        )

    def mask(
        self, config: Any, hidden_BLD: Tensor, attention_mask_BL: Tensor | None, position_ids_BL: Tensor | None
    ) -> AttentionMask:
        """See `Objective.mask`."""
        return causal_mask(config, hidden_BLD, attention_mask_BL, position_ids_BL)

    def request(self, input_ids_BL: Tensor, attention_mask_BL: Tensor | None, columns: Mapping[str, Tensor]) -> Request:
        """Return the histories unchanged."""
        return input_ids_BL, attention_mask_BL, dict(columns)


class MaskedItemObjective(Objective):
    """Predict masked items from all others (the cloze task); in a request, a mask after the history is predicted."""

    name = "masked_item"
    auto_class = "AutoModelForMaskedLM"
    is_causal = False

    def collator(
        self, config: Any, tokenizer: PreTrainedTokenizerBase, *, packing: bool = True, seed: int | None = None
    ) -> MaskedItemCollator:
        """See `Objective.collator`."""
        return MaskedItemCollator(
            tokenizer,
            config.max_position_embeddings,
            masking_probability=config.masking_probability,
            last_item_share=config.last_item_share,
            packing=packing,
            seed=seed,
            columns=config.event_columns,
            label_columns=config.label_tasks,
        )

    def mask(
        self, config: Any, hidden_BLD: Tensor, attention_mask_BL: Tensor | None, position_ids_BL: Tensor | None
    ) -> AttentionMask:
        """See `Objective.mask`."""
        return bidirectional_mask(config, hidden_BLD, attention_mask_BL, position_ids_BL)

    def request(self, input_ids_BL: Tensor, attention_mask_BL: Tensor | None, columns: Mapping[str, Tensor]) -> Request:
        """Append a mask token to each history.

        Its times are that of the request: of the newest event if no other is known. Its other columns hold their fill
        value.
        """
        fills = {name: event_column(name).fill for name in columns}
        times = TIME_COLUMNS & columns.keys()
        asked = "request_times" if "request_times" in times else "timestamps"
        if attention_mask_BL is None:
            longer = {name: nn.functional.pad(columns[name], (0, 1), value=fill) for name, fill in fills.items()}
            for name in times:
                longer[name] = torch.cat([columns[name], columns[asked][:, -1:].to(columns[name].dtype)], dim=1)
            return nn.functional.pad(input_ids_BL, (0, 1), value=MASK_ID), None, longer
        mask_BL = attention_mask_BL.to(input_ids_BL.device)
        index_L = torch.arange(1, input_ids_BL.shape[1] + 1, device=input_ids_BL.device)
        behind_B1 = (index_L * mask_BL).amax(dim=1, keepdim=True)

        def put(values_BL: Tensor, padding: float, value: float | Tensor) -> Tensor:
            return nn.functional.pad(values_BL, (0, 1), value=padding).scatter(1, behind_B1, value)

        longer = {name: put(columns[name], fill, fill) for name, fill in fills.items()}
        for name in times:
            asked_B1 = columns[asked].gather(1, (behind_B1 - 1).clamp(min=0)).to(columns[name].dtype)
            longer[name] = put(columns[name], fills[name], asked_B1)
        return put(input_ids_BL, PAD_ID, MASK_ID), put(mask_BL, 0, 1), longer


NEXT_ITEM = NextItemObjective()
MASKED_ITEM = MaskedItemObjective()


def training_collator(
    model: Any, tokenizer: PreTrainedTokenizerBase, *, packing: bool = True, seed: int | None = None
) -> NextItemCollator | MaskedItemCollator:
    """Return the collator that a model's training needs.

    Args:
        model: A backbone or head of `seqrec`.
        tokenizer: Its vocabulary.
        packing: Whether histories share rows.
        seed: Seed for drawing masks; see `MaskedItemCollator`.
    """
    return model.objective.collator(model.config, tokenizer, packing=packing, seed=seed)
