"""The Trainer for sequential recommenders: full-catalogue validation, and saving all that a model needs."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from accelerate.utils import gather_object
from datasets import Dataset
from torch import Tensor, nn
from transformers import EarlyStoppingCallback, PreTrainedTokenizerBase, TrainerControl
from transformers.trainer import TRAINING_ARGS_NAME

from seqrec.data.collators import training_collator
from seqrec.data.list_columns import ArrowRows
from seqrec.evaluation.evaluator import Ranking, rank_dataset
from seqrec.evaluation.metrics import ranking_metrics
from seqrec.hub.card_metadata import is_repository_name
from seqrec.hub.model_card import save_model_card
from seqrec.modeling.modeling_next_item import NextItemHead
from seqrec.training.arguments import SequentialTrainingArguments
from seqrec.training.hub_pushing import HubPushing
from seqrec.training.lazy_adamw import LazyAdamW, clip_grad_norm

VALIDATION_KS = (10,)
VALIDATION_METRICS = (
    "ndcg@10",
    "hr@10",
    "mrr@10",
)  # the others are the same, or a multiple, with one target a row
MANY_ITEMS = 100_000


class SequentialTrainer(HubPushing):
    """`transformers.Trainer` that validates by ranking the full catalogue.

    Args:
        model: Any model of `seqrec`, with its head.
        args: Training arguments.
        train_dataset: Rows with `input_ids`, each a training history, oldest first.
        eval_dataset: Rows with `input_ids` (the history) and `target` (the token id that came next).
        processing_class: The `ItemTokenizer`, saved beside the model.
        items: The catalogue (`item_id`, `count`, perhaps `title`) in token order, saved beside the model.
        **kwargs: Everything else that `Trainer` takes.
    """

    args: SequentialTrainingArguments

    def __init__(
        self,
        model: NextItemHead,
        args: SequentialTrainingArguments,
        *,
        processing_class: PreTrainedTokenizerBase,
        train_dataset: Dataset | None = None,
        eval_dataset: Dataset | None = None,
        items: pl.DataFrame | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault(
            "data_collator",
            training_collator(model.config, processing_class, packing=args.packing),
        )
        if train_dataset is not None:
            train_dataset = ArrowRows(train_dataset, "input_ids")
        if updates_sparsely(model, args):
            model.get_input_embeddings().sparse = True
            settings = {"lr": args.learning_rate, "betas": (args.adam_beta1, args.adam_beta2), "eps": args.adam_epsilon}
            kwargs.setdefault("optimizer_cls_and_kwargs", (LazyAdamW, settings))
        super().__init__(
            model=model,
            args=args,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            processing_class=processing_class,
            **kwargs,
        )
        self.items = items
        if eval_dataset is not None and args.early_stopping_patience:
            self.add_callback(EarlyStoppingCallback(args.early_stopping_patience))

    def rank(self, dataset: Dataset, list_length: int = 0) -> Ranking:
        """Rank each row's target, the rows shared out among the processes; only results cross between them."""
        world_size, process = self.args.world_size, self.args.process_index
        share = dataset.select(range(process, len(dataset), world_size))
        ranking = rank_dataset(
            self.accelerator.unwrap_model(self.model),
            share,
            max_length=self.model.config.max_history_length,
            exclude_seen=self.args.exclude_seen,
            list_length=list_length,
            batch_size=self.args.per_device_eval_batch_size,
            progress=not self.args.disable_tqdm and self.is_world_process_zero(),
        )
        if world_size == 1:
            return ranking
        ranks_U = np.zeros(len(dataset), dtype=np.int64)
        top_UK = np.zeros((len(dataset), list_length), dtype=np.int64)
        for other, part in enumerate(gather_object([ranking])):
            ranks_U[other::world_size], top_UK[other::world_size] = part.ranks_U, part.top_UK
        return Ranking(ranks_U, top_UK)

    def evaluate(
        self,
        eval_dataset: Dataset | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Rank the held-out items and log the metrics, `eval_ndcg@10` among them.

        Args:
            eval_dataset: Rows to rank in place of the trainer's own.
            ignore_keys: Not used; part of `Trainer`'s signature.
            metric_key_prefix: What the metrics' names begin with.
        """
        dataset = self.eval_dataset if eval_dataset is None else eval_dataset
        if dataset is None:
            raise ValueError("There is nothing to evaluate on. Pass eval_dataset to the trainer or to evaluate().")
        found = ranking_metrics(self.rank(dataset).ranks_U, VALIDATION_KS)
        metrics = {f"{metric_key_prefix}_{name}": found[name] for name in VALIDATION_METRICS}
        self.log(metrics)
        if metric_key_prefix == "eval":  # what is measured under another name must not stop the training
            self.control: TrainerControl = self.callback_handler.on_evaluate(
                self.args, self.state, self.control, metrics
            )
        return metrics

    def _clip_grad_norm(self, model: nn.Module) -> Tensor:
        if self.model.get_input_embeddings().sparse:
            return clip_grad_norm(model.parameters(), self.args.max_grad_norm)
        return super()._clip_grad_norm(model)

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        super()._save(output_dir, state_dict)
        if not self.args.should_save:
            return
        folder = Path(output_dir or self.args.output_dir)
        (folder / TRAINING_ARGS_NAME).unlink(missing_ok=True)  # a pickle; metrics.json holds the arguments
        if self.items is not None:
            self.items.write_parquet(folder / "items.parquet")

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write the card from what lies in the output folder; `Trainer`'s own arguments are not used.

        Adapters have no configuration of their own, and so no card.
        """
        if self.is_world_process_zero() and Path(self.args.output_dir, "config.json").is_file():
            save_model_card(
                self.args.output_dir,
                repo_id=self.hub_model_id,
                license=self.args.license,
                base_model=self.base_model,
            )

    @property
    def base_model(self) -> str | None:
        """The repository on the Hub that the model was loaded from; None if it was not."""
        name = self.accelerator.unwrap_model(self.model).name_or_path
        return name if is_repository_name(name) and not Path(name).exists() else None


def updates_sparsely(model: NextItemHead, args: SequentialTrainingArguments) -> bool:
    """Decide whether only the touched rows of the item embedding are updated.

    Raises:
        ValueError: If that is asked for, but the loss touches all items, or gradients are not clipped (the
            library measures their norm then in a way that knows no sparse ones).
    """
    samples = model.config.loss != "cross_entropy"
    if args.sparse_item_updates is None:
        return samples and model.config.vocab_size > MANY_ITEMS and args.max_grad_norm > 0
    if args.sparse_item_updates and not samples:
        raise ValueError(
            f"sparse_item_updates needs a loss that samples its negatives, but this model's loss is "
            f"{model.config.loss!r}, which touches every item. Set loss='sampled_softmax' in its configuration."
        )
    if args.sparse_item_updates and args.max_grad_norm <= 0:
        raise ValueError(f"sparse_item_updates needs max_grad_norm above 0, but it is {args.max_grad_norm}.")
    return args.sparse_item_updates
