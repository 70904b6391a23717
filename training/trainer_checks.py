"""Check the arguments of a trainer before it starts."""

from collections.abc import Mapping
from typing import Any

from transformers import PreTrainedTokenizerBase

from seqrec.errors import InputError
from seqrec.evaluation.targets import require_token_ids
from seqrec.interactions.histories import Histories
from seqrec.interactions.special_tokens import PAD_ID
from seqrec.modeling.modeling_next_item import NextItemHead
from seqrec.training.arguments import SequentialTrainingArguments

__all__ = ["refuse_idle_arguments", "require_a_batch", "require_same_vocabulary", "updates_sparsely"]

MANY_ITEMS = 100_000


def refuse_idle_arguments(args: SequentialTrainingArguments, others: Mapping[str, Any]) -> None:
    """Refuse arguments of `Trainer` that have no effect on ranking."""
    if others.get("preprocess_logits_for_metrics") is not None:
        raise InputError(
            "preprocess_logits_for_metrics has no effect: the trainer computes ranks, not logits. Leave it out; "
            "compute_metrics receives the ranks."
        )
    for name in ("batch_eval_metrics", "include_for_metrics", "prediction_loss_only"):
        if getattr(args, name):
            raise InputError(f"{name} has no effect: compute_metrics receives all ranks at once. Leave it out.")


def require_same_vocabulary(
    model: NextItemHead, tokenizer: PreTrainedTokenizerBase, train_histories: Histories | None
) -> None:
    """Refuse a model whose vocabulary differs in size from the tokenizer's, and histories with unknown token ids."""
    vocab_size = model.config.vocab_size
    if len(tokenizer) != vocab_size:
        raise InputError(
            f"The model has {vocab_size} tokens (config.vocab_size), but the tokenizer has {len(tokenizer)}. Create "
            "the model with vocab_size=len(tokenizer)."
        )
    if train_histories is not None:
        require_token_ids("input_ids", train_histories.held("input_ids"), vocab_size, lowest=PAD_ID)


def updates_sparsely(model: NextItemHead, args: SequentialTrainingArguments) -> bool:
    """Return whether to update only those rows of the item embedding that a step uses.

    Raises:
        InputError: If that is requested, but the loss uses all items, or gradients are not clipped (the library then
            computes their norm in a way that does not support sparse gradients).
    """
    samples = model.config.loss != "cross_entropy"
    if args.sparse_item_updates is None:
        return samples and model.config.vocab_size > MANY_ITEMS and args.max_grad_norm > 0
    if args.sparse_item_updates and not samples:
        raise InputError(
            f"sparse_item_updates needs a loss that samples its negatives, but this model's loss is "
            f"{model.config.loss!r}, which uses every item. Set loss='sampled_softmax' in its configuration."
        )
    if args.sparse_item_updates and args.max_grad_norm <= 0:
        raise InputError(
            f"sparse_item_updates needs max_grad_norm above 0, but it is {args.max_grad_norm}. Set it to 1."
        )
    return args.sparse_item_updates


def require_a_batch(args: SequentialTrainingArguments, train_histories: Histories | None) -> None:
    """Refuse data and arguments that leave no batch to train on."""
    if train_histories is None:
        return
    if len(train_histories) == 0:
        raise InputError("There is nothing to train on: train_dataset has no rows.")
    if args.dataloader_drop_last and len(train_histories) < args.train_batch_size * args.world_size:
        raise InputError(
            f"dataloader_drop_last would drop the only batch, which has {len(train_histories)} of "
            f"{args.train_batch_size * args.world_size} histories. Leave it out, or use smaller batches."
        )
