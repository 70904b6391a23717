"""The head that all architectures share: scores and the training loss.

Shape suffixes: B batch, L length, D hidden size, V vocabulary, N tokens with a label, G groups that share negatives,
M tokens per group, S sampled negatives, W windows of recent popularity.
"""

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache
from transformers.utils import ModelOutput
from transformers.utils.generic import can_return_tuple

from seqrec.configuration.configuration_next_item import NextItemConfig
from seqrec.configuration.task_entries import NEXT_ITEM_TASK
from seqrec.errors import InputError
from seqrec.interactions.item_rows import by_row, token_ids_of
from seqrec.interactions.special_tokens import IGNORED_LABEL, NUM_SPECIAL_TOKENS
from seqrec.modeling.backbone import NextItemBackbone
from seqrec.modeling.losses import bce, cross_entropy, gbce, gbce_beta, loss_without_labels, sampled_softmax
from seqrec.modeling.negatives import draw_negatives, log_uniform_probability, score_candidates
from seqrec.modeling.objectives import Objective
from seqrec.modeling.pipeline_next_item import NextItemRecommendationPipeline
from seqrec.modeling.pretrained import NextItemPreTrainedModel
from seqrec.modeling.recent_counts import RecentCounts
from seqrec.modeling.sequence_layout import newest_position, take_position
from seqrec.modeling.task_heads import TaskHeads
from seqrec.modeling.task_losses import (
    TaskLoss,
    impressions_of,
    label_losses,
    labels_of,
    totals_of,
    weighted_sum,
)
from seqrec.modeling.task_predictions import TaskPredictions
from seqrec.search.finite import require_finite_loss

__all__ = ["NextItemHead", "NextItemOutput"]


# Declared by the backbone's class. Heads take them over, because transformers reads them from the loaded class.
CAPABILITIES = (
    "uses_attention",
    "supports_gradient_checkpointing",
    "_no_split_modules",
    "_can_compile_fullgraph",
    "_supports_attention_backend",
    "_supports_sdpa",
    "_supports_flash_attn",
    "_supports_flex_attn",
)


@dataclass
class NextItemOutput(ModelOutput):
    """Outputs of `NextItemHead.forward`.

    Attributes:
        loss: The loss to minimise; only with labels.
        logits: Scores of the catalogue (B, L, V); only without labels.
        hidden_states: Hidden states after the embeddings and each block (B, L, D), if requested.
        attentions: Each block's attention weights (B, H, L, L), if requested.
        losses: Mean loss of each task over its own labels, by task name, detached from the graph.
        num_labels: Number of labels of each task.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None
    losses: dict[str, Tensor] | None = None
    num_labels: dict[str, Tensor] | None = None


class NextItemHead(TaskPredictions, NextItemPreTrainedModel):
    """A backbone with a training loss; the next item's vector should have the highest product with the user's.

    Input and output embedding are the same parameter. Architectures set `backbone_class`. `pipeline_class` is set here
    so that a model's remote code still includes its pipeline after the model is loaded and saved again.
    """

    backbone_class: type[NextItemBackbone]
    pipeline_class = NextItemRecommendationPipeline

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "backbone_class" in vars(cls):
            for name in CAPABILITIES:
                if name not in vars(cls):
                    setattr(cls, name, getattr(cls.backbone_class, name))

    def __init__(self, config: NextItemConfig, **unknown: Any) -> None:
        super().__init__(config, **unknown)
        self.model = self.backbone_class(config)
        self.task_heads = TaskHeads(config) if config.label_tasks else None
        # Item rows, most popular first, and each item's rank; None if token ids already have that order.
        self.register_buffer("items_by_count_I", None, persistent=False)
        self.register_buffer("ranks_by_count_I", None, persistent=False)
        self.stop_of_known: int | None = None
        self.post_init()

    @property
    def objective(self) -> Objective:
        """The backbone's training objective."""
        return self.model.objective

    @property
    def _ddp_params_and_buffers_to_ignore(self) -> list[str]:
        """Names of what processes need not send each other in training: constants, and items divided among them."""
        items = [] if self.model.item_encoder.shards is None else ["model.item_embedding.weight"]
        return items + [name for name, _ in self.named_buffers()]

    def encode_users(self, input_ids: Tensor, attention_mask: Tensor | None = None, **columns: Tensor) -> Tensor:
        """See `NextItemBackbone.encode_users`."""
        return self.model.encode_users(input_ids, attention_mask, **columns)

    @property
    def supports_cache(self) -> bool:
        """See `NextItemBackbone.supports_cache`."""
        return self.model.supports_cache

    def encode_users_with_cache(
        self,
        caches: Sequence[DynamicCache],
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        **columns: Tensor,
    ) -> Tensor:
        """See `NextItemBackbone.encode_users_with_cache`."""
        return self.model.encode_users_with_cache(caches, input_ids, attention_mask, **columns)

    def encode_items(self, ids: Tensor | None = None) -> Tensor:
        """See `NextItemBackbone.encode_items`."""
        return self.model.encode_items(ids)

    def item_vectors(self, ids: Tensor | None = None) -> Tensor:
        """See `NextItemBackbone.item_vectors`."""
        return self.model.item_vectors(ids)

    @property
    def recent_counts(self) -> RecentCounts | None:
        """The backbone's counts of recent interactions, if it reads recent popularity."""
        return self.model.recent_counts

    def set_feature_values(self, values: Mapping[str, np.ndarray], first_row: int = 0) -> None:
        """See `NextItemBackbone.set_feature_values`."""
        self.model.set_feature_values(values, first_row)

    def set_events(self, items_N: np.ndarray, times_N: np.ndarray) -> None:
        """Set the interactions whose counts a model with `popularity_windows` reads; others ignore them.

        Training and evaluation need them. They are not saved, but the counts after the last of them are.

        Args:
            items_N: Token id of each interaction of all users, in any order.
            times_N: Its time, in seconds since 1970.

        Raises:
            InputError: If there are none, or items and times differ in number.
        """
        if self.model.recent_counts is not None:
            self.model.recent_counts.set_events(items_N, times_N)

    def recent_scores(
        self, users_BD: Tensor, input_ids: Tensor, attention_mask: Tensor | None = None, **columns: Tensor
    ) -> Tensor:
        """Return what recent popularity adds to the scores of requests made in the past, such as those of evaluation.

        Its counts are those before the day of each request, or of the last event if `request_time` is "last_event".

        Args:
            users_BD: User vectors of the requests, from `encode_users`.
            input_ids: Histories (B, L).
            attention_mask: 1 for items, 0 for padding (B, L); None if nothing is padded.
            **columns: The events' other columns (B, L) that the model reads.

        Returns:
            Terms (B, V), to add to the products with `item_vectors`.

        Raises:
            InputError: If no events were set.
        """
        days_BL = self.model.request_days(columns)
        assert days_BL is not None, "as the model reads recent popularity"
        days_B = take_position(days_BL, newest_position(input_ids, attention_mask))[:, 0]
        counts_BWV = self.required_counts().of_catalogue(days_B)
        return torch.einsum("bw,bwv->bv", self.model.split_users(users_BD)[1].float(), counts_BWV)

    def set_item_counts(self, counts_V: Tensor | np.ndarray) -> None:
        """Set how often each item occurs in training interactions; `log_uniform` negatives follow these counts.

        If items have features, those after the last one that occurs are not negatives in training: their vectors would
        learn nothing but that they are never right. Vocabularies put items that do not occur last.

        Counts are not saved with the weights. Until they are set, negatives follow the order of the token ids.

        Args:
            counts_V: Interactions of each token id, including special tokens.

        Raises:
            InputError: If the number of counts differs from that of token ids.
        """
        counts_V = torch.as_tensor(counts_V)
        if counts_V.shape != (self.config.vocab_size,):
            raise InputError(
                f"Counts have the shape {tuple(counts_V.shape)}, but the model has {self.config.vocab_size} token "
                "ids. Give one count for each, including special tokens."
            )
        order_I = by_row(counts_V).argsort(descending=True, stable=True)
        if order_I.equal(torch.arange(len(order_I), device=order_I.device)):
            self.items_by_count_I = self.ranks_by_count_I = None
        else:
            self.items_by_count_I = order_I.to(self.device)
            self.ranks_by_count_I = self.items_by_count_I.argsort()
        occurring = counts_V.nonzero() if self.config.item_features else counts_V[:0]
        self.stop_of_known = int(occurring.max()) + 1 if len(occurring) else None

    def set_input_embeddings(self, value: torch.nn.Embedding) -> None:
        """Replace the item encoder or its id embedding, and discard the counts of the previous items."""
        self.model.set_input_embeddings(value)
        if self.task_heads is not None:
            self.task_heads.resize(self.model.item_encoder.num_embeddings)
        self.items_by_count_I = self.ranks_by_count_I = self.stop_of_known = None

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        num_items_in_batch: Tensor | int | None = None,
        num_items_by_task: Mapping[str, Tensor] | None = None,
        logits_to_keep: int = 0,
        **columns: Any,
    ) -> NextItemOutput:
        """Score the catalogue at every position or, with labels, compute the loss.

        Args:
            input_ids: Token ids (B, L), oldest first.
            attention_mask: 1 for items, 0 for padding (B, L). Leave it out for packed rows.
            position_ids: For packed rows only: positions (B, L) that restart at 0 with every sequence.
            inputs_embeds: Item vectors (B, L, D) instead of `input_ids`.
            labels: Token ids (B, L): position t should predict `labels[t]`; −100 for none. They are already aligned;
                the model never shifts them.
            num_items_in_batch: Number of labels in the whole accumulated or distributed batch, by which the summed
                loss is divided; if None, the number in `labels`.
            num_items_by_task: The same by task, from `count_labels`, for a model with several tasks.
            logits_to_keep: Score only this many of the last positions; 0 for all.
            **columns: The events' other columns (B, L) that the model reads (`config.event_columns`), and other
                arguments of the backbone (`output_hidden_states`, `output_attentions`). With labels, also
                `<task>_labels` (B, L), the outcome of the item in `labels` for each task, NaN for none; and optionally
                `impression_ids` (B, K), items that were shown and not clicked (0 for none), with their
                `impression_positions` (B, K), where the row holds their users' states.

        Returns:
            With labels, `loss` and no logits. Without labels, `logits` (B, L, V), −inf for special tokens.
        """
        if input_ids is not None and attention_mask is None and position_ids is None:
            self.warn_if_padding_and_no_attention_mask(input_ids, attention_mask)
        outcomes = {} if labels is None else labels_of(columns, self.config.label_tasks)
        impressions = impressions_of(columns)
        scores_all = labels is None or self.config.loss == "cross_entropy"
        with self.model.item_encoder.encoded_once() if scores_all else nullcontext():
            outputs = self.model(
                input_ids,
                attention_mask=attention_mask,
                position_ids=position_ids,
                inputs_embeds=inputs_embeds,
                **columns,
            )
            hidden_BLD, days_BL = outputs.last_hidden_state, self.model.request_days(columns)
            if labels is None:
                days_BL = days_BL if days_BL is None else days_BL[:, -logits_to_keep:]
                found = NextItemOutput(logits=self.score_positions(hidden_BLD[:, -logits_to_keep:], days_BL))
            elif self.task_heads is None:
                found = self.measure_loss(hidden_BLD, labels, num_items_in_batch, days_BL)
            else:
                losses = label_losses(self.task_heads, self.model, hidden_BLD, labels, outcomes, impressions)
                next_item = self.next_item_loss(hidden_BLD, labels, days_BL)
                losses = {NEXT_ITEM_TASK: next_item, **losses}
                found = self.join_losses(losses, num_items_in_batch, num_items_by_task)
        found.hidden_states, found.attentions = outputs.hidden_states, outputs.attentions
        return found

    def score_positions(self, hidden_BLD: Tensor, days_BL: Tensor | None = None) -> Tensor:
        """Score the catalogue at every position; special tokens score −inf.

        Counts are those before the given days if the events are known, else the latest.
        """
        users_BLD, counts = self.model.as_users(hidden_BLD), self.model.recent_counts
        if counts is None or days_BL is None or not counts.has_events:
            logits_BLV = users_BLD @ self.encode_items().T
        else:
            users_BLD, weights_BLW = self.model.split_users(users_BLD)
            counts_BLWV = counts.of_catalogue(days_BL)
            logits_BLV = users_BLD @ self.item_vectors().T + torch.einsum("blw,blwv->blv", weights_BLW, counts_BLWV)
        is_special_V = torch.arange(logits_BLV.shape[-1], device=logits_BLV.device) < NUM_SPECIAL_TOKENS
        return logits_BLV.masked_fill(is_special_V, -torch.inf)

    def measure_loss(
        self,
        hidden_BLD: Tensor,
        labels_BL: Tensor,
        num_items_in_batch: Tensor | int | None,
        days_BL: Tensor | None = None,
    ) -> NextItemOutput:
        """Average the loss over the tokens that have a label.

        Raises:
            NonFiniteError: If it is infinite or NaN.
        """
        summed, count = self.next_item_loss(hidden_BLD, labels_BL, days_BL)
        has_labels = bool(count)
        # Without labels, the loss is 0, but its gradient reaches the items that other processes read.
        is_shared = self.model.item_encoder.shards is not None and bool(num_items_in_batch)
        if not has_labels and not is_shared:
            loss = mean = summed
        else:
            mean = summed / count if has_labels else summed
            loss = mean if num_items_in_batch is None else summed / num_items_in_batch
            require_finite_loss(loss)
        name = self.objective.name
        return NextItemOutput(loss=loss, losses={name: mean.detach()}, num_labels={name: count})

    def next_item_loss(self, hidden_BLD: Tensor, labels_BL: Tensor, days_BL: Tensor | None) -> TaskLoss:
        """Sum the loss of the next item over the tokens that have a label."""
        has_label_BL = labels_BL != IGNORED_LABEL
        count = has_label_BL.sum()
        if not count and self.model.item_encoder.shards is None:
            return TaskLoss(loss_without_labels(hidden_BLD), count)
        return TaskLoss(self.summed_loss(self.model.as_users(hidden_BLD), labels_BL, has_label_BL, days_BL), count)

    def join_losses(
        self,
        losses: dict[str, TaskLoss],
        num_items_in_batch: Tensor | int | None,
        num_items_by_task: Mapping[str, Tensor] | None,
    ) -> NextItemOutput:
        """Weight and sum the losses of several tasks.

        Raises:
            NonFiniteError: If the sum is infinite or NaN.
        """
        assert self.task_heads is not None
        totals = totals_of(losses, num_items_in_batch, num_items_by_task)
        loss = weighted_sum(self.task_heads, self.config, losses, totals)
        require_finite_loss(loss)
        return NextItemOutput(
            loss=loss,
            losses={task: one.mean() for task, one in losses.items()},
            num_labels={task: one.num_labels for task, one in losses.items()},
        )

    def summed_loss(
        self, users_BLD: Tensor, labels_BL: Tensor, has_label_BL: Tensor, days_BL: Tensor | None = None
    ) -> Tensor:
        """Sum the loss set in the configuration over the tokens that have a label."""
        if self.config.loss != "cross_entropy":
            return self.sampled_loss(users_BLD, labels_BL, has_label_BL, days_BL)
        users_ND, labels_N = users_BLD[has_label_BL], labels_BL[has_label_BL]
        encoder = self.model.item_encoder
        if encoder.shards is not None:
            return encoder.cross_entropy(users_ND, self.model.as_items(encoder.weight), labels_N)
        items_VD, stop = self.item_vectors(), self.stop_of_negatives(labels_N)
        items_VD = items_VD if stop == len(items_VD) else items_VD[:stop]
        if days_BL is None:
            return cross_entropy(users_ND, items_VD, labels_N)
        days_N, order_N = days_BL[has_label_BL].sort()  # a chunk of the loss then has few different days
        users_ND, weights_NW = self.model.split_users(users_ND[order_N])
        counts = self.required_counts()
        return cross_entropy(
            users_ND,
            items_VD,
            labels_N[order_N],
            weights_NW,
            lambda rows: counts.of_catalogue(days_N[rows])[..., : len(items_VD)],
        )

    def stop_of_negatives(self, labels: Tensor) -> int:
        """Return the token id at which the items end that the loss reads; for more, see `set_item_counts`."""
        if self.stop_of_known is None or not self.training:
            return self.config.vocab_size
        return max(self.stop_of_known, int(labels.max()) + 1)

    def required_counts(self) -> RecentCounts:
        """Return the counts of recent interactions.

        Raises:
            InputError: If no events were set.
        """
        counts = self.model.recent_counts
        if counts is None or not counts.has_events:
            raise InputError(
                "The model reads recent popularity (popularity_windows), but has no interactions to count. Call "
                "model.set_events(items, times) with the token ids and times of all users' interactions."
            )
        return counts

    def sampled_loss(
        self, users_BLD: Tensor, labels_BL: Tensor, has_label_BL: Tensor, days_BL: Tensor | None = None
    ) -> Tensor:
        """Sum the loss over the tokens that have a label, against sampled negatives."""
        num_items = self.stop_of_negatives(labels_BL) - NUM_SPECIAL_TOKENS
        if self.config.negatives_shared_by == "batch":  # all labelled tokens are one group
            days_1N = None if days_BL is None else days_BL[has_label_BL][None]
            targets_1N, scores_1NS = self.sampled_scores(
                users_BLD[has_label_BL][None], labels_BL[has_label_BL][None], num_items, days_1N
            )
            targets_N, scores_NS = targets_1N[0], scores_1NS[0]
        else:
            some_item = token_ids_of(0)  # placeholder at positions without a label
            labels_BL = labels_BL.where(has_label_BL, some_item)
            targets_BL, scores_BLS = self.sampled_scores(users_BLD, labels_BL, num_items, days_BL)
            targets_N, scores_NS = targets_BL[has_label_BL], scores_BLS[has_label_BL]
        if self.config.loss == "sampled_softmax":
            return sampled_softmax(targets_N, scores_NS)
        return self.binary_loss(targets_N, scores_NS, num_items)

    def binary_loss(self, targets_N: Tensor, scores_NS: Tensor, num_items: int) -> Tensor:
        """Sum `bce` or `gbce` over tokens, after subtracting a common level from all scores.

        At that level, log(S/β), a target and its negatives pull equally; it is 0 for SASRec's `bce` with one negative.
        Subtracting it does not change the ranking. Without it, all vectors would first have to learn this level, which
        takes epochs, before they could learn to differ. Lin et al. 2017, section 3.3, initialise the bias of a
        classifier of rare objects for the same reason.
        """
        config = self.config
        level = math.log(config.num_negatives)
        if config.loss == "bce":
            return bce(targets_N - level, scores_NS - level)
        beta = gbce_beta(config.num_negatives, num_items, config.gbce_calibration)
        level -= math.log(beta)
        return gbce(targets_N - level, scores_NS - level, beta=beta)

    def sampled_scores(
        self, users_GMD: Tensor, labels_GM: Tensor, num_items: int, days_GM: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Score each token's target (G, M) and its group's negatives (G, M, S), of the first `num_items` items."""
        config = self.config
        negatives_GS = draw_negatives(
            config.negative_sampling,
            num_items,
            (len(labels_GM), config.num_negatives),
            labels_GM.device,
            self.items_by_count_I,
        )
        users_GMD, weights_GMW = self.model.split_users(users_GMD)
        targets_GM, scores_GMS = score_candidates(
            users_GMD, self.item_vectors(labels_GM), self.item_vectors(negatives_GS), labels_GM, negatives_GS
        )
        if days_GM is not None:
            counts = self.required_counts()
            counts_GMW = counts.of_items(days_GM, labels_GM)
            counts_GMSW = counts.of_items(days_GM[:, :, None], negatives_GS[:, None])
            targets_GM = targets_GM + (weights_GMW * counts_GMW).sum(dim=-1)
            scores_GMS = scores_GMS + torch.einsum("gmw,gmsw->gms", weights_GMW.float(), counts_GMSW)
        if config.loss == "sampled_softmax" and config.negative_sampling == "log_uniform":
            # log-Q correction: negatives count as if drawn uniformly. Targets are not drawn, so they need none.
            odds_GS = log_uniform_probability(negatives_GS, num_items, self.ranks_by_count_I) * num_items
            scores_GMS = scores_GMS - odds_GS.log()[:, None]
        return targets_GM, scores_GMS
