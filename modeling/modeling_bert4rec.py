"""BERT4Rec (Sun et al., CIKM 2019): a bidirectional Transformer over a user's items.

Shape suffixes: B batch, L length, D hidden size.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers.masking_utils import create_bidirectional_mask, packed_sequence_mask_function

from seqrec.configuration.configuration_bert4rec import Bert4RecConfig
from seqrec.modeling.backbone import NextItemBackbone
from seqrec.modeling.modeling_next_item import NextItemHead


class Bert4RecModel(NextItemBackbone):
    """The backbone, in which every item sees every other; see `NextItemBackbone`."""

    config: Bert4RecConfig

    def make_mask(self, hidden_BLD: Tensor, attention_mask_BL: Tensor | None, position_ids_BL: Tensor | None) -> Any:
        """See `NextItemBackbone.make_mask`; packed sequences do not see one another."""
        same_sequence = None
        if position_ids_BL is not None:
            same_sequence = packed_sequence_mask_function((position_ids_BL == 0).cumsum(dim=-1))
        return create_bidirectional_mask(
            config=self.config,
            inputs_embeds=hidden_BLD,
            attention_mask=attention_mask_BL,
            and_mask_function=same_sequence,
        )

    def encode_users(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, position_ids: Tensor | None = None
    ) -> Tensor:
        """See `NextItemBackbone.encode_users`; the vector is that of a mask put behind the newest item."""
        if attention_mask is None:
            return super().encode_users(nn.functional.pad(input_ids, (0, 1), value=self.config.mask_token_id))
        index_L = torch.arange(1, input_ids.shape[1] + 1, device=input_ids.device)
        behind_B1 = (index_L * attention_mask.to(input_ids.device)).amax(dim=1, keepdim=True)
        input_ids = nn.functional.pad(input_ids, (0, 1), value=self.config.pad_token_id)
        return super().encode_users(
            input_ids.scatter(1, behind_B1, self.config.mask_token_id),
            nn.functional.pad(attention_mask, (0, 1)).scatter(1, behind_B1, 1),
        )


class Bert4RecForNextItem(NextItemHead):
    """BERT4Rec with its training loss and scores; see `NextItemHead`."""

    config: Bert4RecConfig
    backbone_class = Bert4RecModel
