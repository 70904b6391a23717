"""Trainer for sequential recommenders: validates on the full catalogue, and saves everything a model needs."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from datasets import Dataset
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import IterableDataset
from transformers import EvalPrediction, PreTrainedTokenizerBase, TrainingArguments, set_seed
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, TrainOutput

from seqrec.errors import NonFiniteError, SavedFolderError
from seqrec.interactions.catalogue import Catalogue
from seqrec.interactions.histories import Histories
from seqrec.interactions.item_features import ItemFeatures
from seqrec.modeling.modeling_next_item import NextItemHead
from seqrec.training.arguments import SequentialTrainingArguments, complete_arguments, require_ranges
from seqrec.training.checkpoints import require_same_training, write_settings
from seqrec.training.hub_pushing import HubPushing
from seqrec.training.hyperparameter_search import HyperparameterSearch
from seqrec.training.item_sharding import refuse_unsharded_arguments
from seqrec.training.lazy_adamw import clip_grad_norm
from seqrec.training.model_fitting import ModelFitting
from seqrec.training.output_folder import find_checkpoint
from seqrec.training.product_saving import ProductSaving
from seqrec.training.progress import showing_progress, use_training_progress
from seqrec.training.ranking_validation import RankingValidation
from seqrec.training.streams import read_in_each_process
from seqrec.training.task_training import TaskTraining
from seqrec.training.trainer_checks import (
    refuse_idle_arguments,
    refuse_two_optimizers,
    require_arguments_kind,
    require_one_origin,
)

__all__ = ["SequentialTrainer"]


class SequentialTrainer(HyperparameterSearch, ModelFitting, TaskTraining, RankingValidation, ProductSaving, HubPushing):
    """`transformers.Trainer` that validates by ranking the full catalogue.

    Args:
        model: Any `seqrec` model with its head.
        args: `SequentialTrainingArguments`, or the library's own `TrainingArguments`, which are kept as they are; the
            fields that these lack get their defaults, without early stopping.
        train_dataset: Training histories, oldest event first, with the event columns that the model reads, including
            `input_ids`: `Histories`, a `datasets.Dataset`, or an `IterableDataset` of `datasets` or torch. If its
            length is unknown, `max_steps` is needed, and a training resumes exactly only within its first pass.
        eval_dataset: The same with a `target` each, the token id that came next; or several such sets by name, whose
            metrics are then named `eval_NAME_ndcg@10`.
        eval_impressions: Impressions, which the task `click` is measured on in addition to `eval_dataset`, one set of
            rows of the same events; see `add_impressions`.
        processing_class: The `ItemTokenizer`, saved with the model.
        items: The catalogue, as a `Catalogue` or a table of the same columns, saved with the model. If None, the
            vocabulary is saved with the counts of the training histories.
        features: How a table of items becomes the features that the model reads (`config.item_features`), such as those
            of `PreparedData`; saved with the model, so that items can be added to it. If None, those next to the model
            that was loaded, if any.
        model_init: Makes a model, instead of `model`; with one argument, it receives the trial of a search or None.
        data_collator: Makes training batches; by default the collator that the model's objective needs.
        optimizer_cls_and_kwargs: As in `Trainer`.
        compute_metrics: Computes additional metrics. It receives an `EvalPrediction` whose `predictions` are the ranks
            (U,) of the targets, 1 for the best, and whose `label_ids` are their token ids (U,).
        **kwargs: Other arguments of `Trainer`.

    Raises:
        InputError: If model and vocabulary differ in size, rows hold token ids outside the vocabulary, the metric that
            selects the best checkpoint is not computed, the features are not those that the model reads, an argument
            would have no effect, or not exactly one of `model` and `model_init` is given.
    """

    args: SequentialTrainingArguments

    def __init__(
        self,
        model: NextItemHead | None = None,
        args: TrainingArguments | None = None,
        *,
        processing_class: PreTrainedTokenizerBase,
        data_collator: Any = None,
        train_dataset: Histories | Dataset | IterableDataset | None = None,
        eval_dataset: Histories | Dataset | Mapping[str, Histories | Dataset] | None = None,
        eval_impressions: Histories | None = None,
        items: Any = None,
        features: ItemFeatures | None = None,
        model_init: Callable[..., NextItemHead] | None = None,
        compute_metrics: Callable[[EvalPrediction], dict[str, float]] | None = None,
        optimizer_cls_and_kwargs: tuple[type[Optimizer], dict[str, Any]] | None = None,
        **kwargs: Any,
    ) -> None:
        require_one_origin(model, model_init, kwargs.get("optimizers"))
        args = SequentialTrainingArguments() if args is None else args
        require_arguments_kind(args)
        complete_arguments(args, has_own_metrics=compute_metrics is not None)
        require_ranges(args)
        refuse_unsharded_arguments(args)
        refuse_idle_arguments(args, kwargs)
        refuse_two_optimizers(args, optimizer_cls_and_kwargs, *(kwargs.get("optimizers") or ()))
        self.args, self.processing_class, self.model_init = args, processing_class, model_init
        self.eval_impressions = eval_impressions
        self.compute_metrics, self.train_rows, self.eval_dataset = compute_metrics, train_dataset, eval_dataset
        read_in_each_process(train_dataset, args)
        self.own_collator, self.own_optimizer = data_collator, optimizer_cls_and_kwargs
        self.items = None if items is None else Catalogue.of(items)
        self.features = features
        self.resumed: Path | None = None
        if model is None:
            set_seed(args.seed)
            model = self.call_model_init()
        self.fit_to(model)
        super().__init__(
            model=model,
            args=args,
            data_collator=self.data_collator,
            train_dataset=self.train_dataset,
            eval_dataset=eval_dataset,
            processing_class=processing_class,
            compute_metrics=compute_metrics,
            optimizer_cls_and_kwargs=self.optimizer_cls_and_kwargs,
            **kwargs,
        )
        use_training_progress(self.callback_handler)
        self.model_init = model_init  # the library would make a second model
        self.renew_callbacks()

    def _hp_search_setup(self, trial: Any) -> None:  # train() calls it when it has made its model, searching or not
        super()._hp_search_setup(trial)
        if self.model_init is not None:
            self.fit_to(self.bare_model)
            self.renew_callbacks()
        if self.resumed is not None:
            require_same_training(self.resumed, self.settings)
        if self.averaged_weights is not None:
            self.averaged_weights.resumed = self.resumed

    def train(
        self,
        resume_from_checkpoint: str | bool | None = None,
        trial: Any = None,
        ignore_keys_for_eval: list[str] | None = None,
    ) -> TrainOutput:
        """Train as `Trainer.train` does.

        Args:
            resume_from_checkpoint: A checkpoint of the same training, or True for the newest complete one in the output
                folder.
            trial: As in `Trainer.train`.
            ignore_keys_for_eval: As in `Trainer.train`.

        Raises:
            InputError: If another training left the checkpoint.
            SavedFolderError: If there is no complete checkpoint, or the best one is missing.
            NonFiniteError: If the loss or a weight becomes infinite or NaN. Earlier checkpoints are kept.
        """
        self.resumed = None
        if resume_from_checkpoint:
            resume_from_checkpoint = find_checkpoint(Path(self.args.output_dir), str(resume_from_checkpoint))
            self.resumed = Path(resume_from_checkpoint)
        with showing_progress(self.callback_handler):
            return super().train(resume_from_checkpoint or None, trial, ignore_keys_for_eval)

    def training_step(
        self, model: nn.Module, inputs: dict[str, Any], num_items_in_batch: Tensor | int | None = None
    ) -> Tensor:
        """Compute the gradients of one batch, as `Trainer` does; without labels, weights get no gradients at all."""
        try:
            loss = super().training_step(model, inputs, num_items_in_batch)
        except NonFiniteError as error:
            raise NonFiniteError(f"Step {self.state.global_step + 1}: {error}") from error
        counts_everywhere = self.args.world_size > 1 and self.args.average_tokens_across_devices
        counts = inputs.get("num_items_by_task", {"next_item": num_items_in_batch})
        if counts_everywhere and num_items_in_batch is not None and not any(counts.values()) and not self.args.fp16:
            model.zero_grad()
        return loss

    def _get_collator_with_removed_columns(self, data_collator: Callable, description: str | None = None) -> Callable:
        return data_collator  # collators select the columns themselves

    def _run_epoch(self, *args: Any, **kwargs: Any) -> None:
        if not self.control.should_training_stop:  # such as when resuming a training that stopped early
            super()._run_epoch(*args, **kwargs)

    def _init_training_state(self, *args: Any, **kwargs: Any) -> tuple[int, int]:
        found = super()._init_training_state(*args, **kwargs)
        is_lost = self.state.best_global_step and self.state.best_model_checkpoint is None  # such as in a moved folder
        if is_lost and self.args.load_best_model_at_end:
            moved = Path(self.args.output_dir, f"{PREFIX_CHECKPOINT_DIR}-{self.state.best_global_step}")
            if not moved.is_dir():
                raise SavedFolderError(
                    f"The best checkpoint, {moved.name}, is missing from {self.args.output_dir}, so resuming could "
                    "end with a worse model. Put it back, or start a new training."
                )
            self.state.best_model_checkpoint = str(moved)
        return found

    def _maybe_log_save_evaluate(self, *args: Any, **kwargs: Any) -> None:
        averaged = self.averaged_weights
        is_used = self.control.should_evaluate or self.control.should_save
        with averaged.applied() if averaged is not None and is_used else nullcontext():
            super()._maybe_log_save_evaluate(*args, **kwargs)

    def _clip_grad_norm(self, model: nn.Module) -> Tensor:
        if self.model.get_input_embeddings().sparse and self.sharded_items is None:
            return clip_grad_norm(model.parameters(), self.args.max_grad_norm)
        return super()._clip_grad_norm(model)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        self.require_finite_weights()
        if self.args.should_save:
            name = f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
            checkpoint = Path(self._get_output_dir(trial=trial), name)
            write_settings(checkpoint, self.settings)
            if self.averaged_weights is not None:
                self.averaged_weights.save(checkpoint)
        super()._save_checkpoint(model, trial)
