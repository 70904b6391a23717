"""Trainer for sequential recommenders: validates on the full catalogue, and saves everything a model needs."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from accelerate.utils import gather_object
from datasets import Dataset
from torch import Tensor, nn
from transformers import EvalPrediction, PreTrainedTokenizerBase, TrainerControl
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR, IntervalStrategy, PredictionOutput, TrainOutput

from seqrec.errors import InputError, NonFiniteError, SavedFolderError
from seqrec.evaluation.evaluator import Ranking, rank_dataset
from seqrec.evaluation.metrics import RANKING_METRICS
from seqrec.hub.card_metadata import is_repository_name
from seqrec.hub.model_card import save_model_card
from seqrec.hub.saved_catalogue import save_catalogue
from seqrec.interactions.catalogue import Catalogue
from seqrec.interactions.histories import Histories, as_histories
from seqrec.modeling.modeling_next_item import NextItemHead
from seqrec.modeling.objectives import training_collator
from seqrec.search.finite import require_finite_weights
from seqrec.training.arguments import SequentialTrainingArguments
from seqrec.training.callbacks import EarlyStopping, EpochOfCollator
from seqrec.training.checkpoints import require_same_training, training_settings, write_settings
from seqrec.training.hub_pushing import HubPushing
from seqrec.training.lazy_adamw import LazyAdamW, clip_grad_norm
from seqrec.training.output_folder import find_checkpoint
from seqrec.training.progress import showing_progress, shows_bars, use_training_progress
from seqrec.training.trainer_checks import (
    refuse_idle_arguments,
    require_a_batch,
    require_same_vocabulary,
    updates_sparsely,
)
from seqrec.training.validation_metric import validation_metrics

__all__ = ["SequentialTrainer"]


class SequentialTrainer(HubPushing):
    """`transformers.Trainer` that validates by ranking the full catalogue.

    Args:
        model: Any `seqrec` model with its head.
        args: Training arguments.
        train_dataset: Training histories, oldest event first, with the event columns that the model reads, including
            `input_ids`: `Histories` or a `datasets.Dataset`.
        eval_dataset: The same with a `target` each, the token id that came next; or several such sets by name, whose
            metrics are then named `eval_NAME_ndcg@10`.
        processing_class: The `ItemTokenizer`, saved with the model.
        items: The catalogue, as a `Catalogue` or a table of the same columns, saved with the model.
        compute_metrics: Computes additional metrics. It receives an `EvalPrediction` whose `predictions` are the ranks
            (U,) of the targets, 1 for the best, and whose `label_ids` are their token ids (U,).
        **kwargs: Other arguments of `Trainer`.

    Raises:
        InputError: If model and vocabulary differ in size, rows hold token ids outside the vocabulary, the metric that
            selects the best checkpoint is not computed, or an argument would have no effect.
    """

    args: SequentialTrainingArguments

    def __init__(
        self,
        model: NextItemHead,
        args: SequentialTrainingArguments,
        *,
        processing_class: PreTrainedTokenizerBase,
        train_dataset: Histories | Dataset | None = None,
        eval_dataset: Histories | Dataset | Mapping[str, Histories | Dataset] | None = None,
        items: Any = None,
        **kwargs: Any,
    ) -> None:
        refuse_idle_arguments(args, kwargs)
        if train_dataset is not None:
            train_dataset = as_histories(train_dataset, model.config.event_columns)
        require_a_batch(args, train_dataset)
        require_same_vocabulary(model, processing_class, train_dataset)
        self.validation_metrics = validation_metrics(
            args, eval_dataset, has_own_metrics=kwargs.get("compute_metrics") is not None
        )
        self.settings = training_settings(model.config, args, processing_class, train_dataset, eval_dataset)
        # Persistent workers would not receive the number of the next epoch.
        seed = None if args.dataloader_persistent_workers else (args.seed if args.data_seed is None else args.data_seed)
        kwargs.setdefault(
            "data_collator",
            training_collator(model, processing_class, packing=args.packing, seed=seed),
        )
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
        use_training_progress(self.callback_handler)
        self.items = None if items is None else Catalogue.of(items)
        if self.items is not None:
            model.set_item_counts(self.items.counts_by_token)
        if eval_dataset is not None and args.early_stopping_patience and args.eval_strategy != IntervalStrategy.NO:
            self.add_callback(EarlyStopping(args.early_stopping_patience))
        if hasattr(self.data_collator, "set_epoch"):
            self.add_callback(EpochOfCollator(self.data_collator))

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
        if resume_from_checkpoint:
            resume_from_checkpoint = find_checkpoint(Path(self.args.output_dir), str(resume_from_checkpoint))
            require_same_training(Path(resume_from_checkpoint), self.settings)
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
        if counts_everywhere and num_items_in_batch == 0 and not self.args.fp16:
            model.zero_grad()
        return loss

    def require_finite_weights(self) -> None:
        """Raise a `NonFiniteError` that names the step if a weight is infinite or NaN."""
        try:
            require_finite_weights(self.accelerator.unwrap_model(self.model).named_parameters())
        except NonFiniteError as error:
            raise NonFiniteError(f"After step {self.state.global_step}: {error}") from error

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

    def rank(self, dataset: Histories | Dataset, list_length: int = 0) -> Ranking:
        """Rank the target of each row. The rows are divided among the processes, which exchange only results."""
        histories = as_histories(dataset, [*self.model.config.event_columns, "target"])
        world_size, process = self.args.world_size, self.args.process_index
        first = min(process, len(histories) - 1)  # with fewer rows than processes, the last row is ranked again
        share = histories.select(range(first, len(histories), world_size))
        ranking = rank_dataset(
            self.accelerator.unwrap_model(self.model),
            share,
            max_length=self.model.config.max_history_length,
            exclude_seen=self.args.exclude_seen,
            list_length=list_length,
            batch_size=self.args.per_device_eval_batch_size,
            progress=shows_bars(self.args),
        )
        if world_size == 1:
            return ranking
        ranks_U = np.zeros(len(histories), dtype=np.int64)
        top_UK = np.zeros((len(histories), list_length), dtype=np.int64)
        for other, part in enumerate(gather_object([ranking])):
            places = range(other, len(histories), world_size)
            ranks_U[places], top_UK[places] = part.ranks_U[: len(places)], part.top_UK[: len(places)]
        return Ranking(ranks_U, top_UK)

    def evaluate(
        self,
        eval_dataset: Histories | Dataset | Mapping[str, Histories | Dataset] | str | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Rank the held-out items and log the metrics, such as `eval_ndcg@10`.

        Args:
            eval_dataset: Rows to rank instead of the trainer's own; several sets by name; or the name of one of the
                trainer's sets.
            ignore_keys: Not used; part of `Trainer`'s signature.
            metric_key_prefix: Prefix of the metrics' names.
        """
        self.require_finite_weights()
        sets = self.sets_to_evaluate(eval_dataset, metric_key_prefix)
        metrics: dict[str, float] = {}
        for prefix, rows in sets.items():
            metrics |= self.measure(rows, prefix).metrics
        self.log(metrics)
        if metric_key_prefix == "eval":  # metrics with another prefix must not stop the training
            self.control: TrainerControl = self.callback_handler.on_evaluate(
                self.args, self.state, self.control, metrics
            )
        return metrics

    def sets_to_evaluate(
        self, given: Histories | Dataset | Mapping[str, Histories | Dataset] | str | None, prefix: str
    ) -> dict[str, Histories | Dataset]:
        """Return the sets that `evaluate` is to rank, by the prefixes of their metrics."""
        own: Any = self.eval_dataset
        if isinstance(given, str):
            if not isinstance(own, Mapping) or given not in own:
                names = ", ".join(own) if isinstance(own, Mapping) else "none with a name"
                raise InputError(f"There is no eval_dataset {given!r} to evaluate on. The trainer has: {names}.")
            return {f"{prefix}_{given}": own[given]}
        chosen = own if given is None else given
        if chosen is None:
            raise InputError("There is nothing to evaluate on. Pass eval_dataset to the trainer or to evaluate().")
        if isinstance(chosen, Mapping):
            return {f"{prefix}_{name}": rows for name, rows in chosen.items()}
        return {prefix: chosen}

    def predict(
        self, test_dataset: Histories | Dataset, ignore_keys: list[str] | None = None, metric_key_prefix: str = "test"
    ) -> PredictionOutput:
        """Rank the held-out item of each row.

        Args:
            test_dataset: Histories with a `target` each.
            ignore_keys: Not used; part of `Trainer`'s signature.
            metric_key_prefix: Prefix of the metrics' names.

        Returns:
            `predictions`, the ranks (U,) of the targets, 1 for the best; `label_ids`, their token ids (U,); `metrics`.
        """
        found = self.measure(test_dataset, metric_key_prefix)
        self.control = self.callback_handler.on_predict(self.args, self.state, self.control, found.metrics)
        return found

    def measure(self, rows: Histories | Dataset, prefix: str) -> PredictionOutput:
        """Rank the held-out items of a data set, and average the validation metrics."""
        ranks_U = self.rank(rows).ranks_U
        metrics = {name: average_metric(name, ranks_U) for name in self.validation_metrics}
        targets_U = np.asarray(rows["target"])
        if self.compute_metrics is not None:
            metrics |= self.compute_metrics(EvalPrediction(predictions=ranks_U, label_ids=targets_U))
        named = {
            name if name.startswith(f"{prefix}_") else f"{prefix}_{name}": value for name, value in metrics.items()
        }
        return PredictionOutput(predictions=ranks_U, label_ids=targets_U, metrics=named)

    def _clip_grad_norm(self, model: nn.Module) -> Tensor:
        if self.model.get_input_embeddings().sparse:
            return clip_grad_norm(model.parameters(), self.args.max_grad_norm)
        return super()._clip_grad_norm(model)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        self.require_finite_weights()
        if self.args.should_save:
            name = f"{PREFIX_CHECKPOINT_DIR}-{self.state.global_step}"
            write_settings(Path(self._get_output_dir(trial=trial), name), self.settings)
        super()._save_checkpoint(model, trial)

    def _save(self, output_dir: str | None = None, state_dict: dict | None = None) -> None:
        # The library would also pickle the training arguments, including tokens. metrics.json holds them instead.
        folder = Path(output_dir or self.args.output_dir)
        self.accelerator.unwrap_model(self.model, keep_torch_compile=False).save_pretrained(
            folder, state_dict=state_dict, is_main_process=self.args.should_save
        )
        if not self.args.should_save:
            return
        self.processing_class.save_pretrained(folder)
        if self.items is not None:
            save_catalogue(self.items, folder)

    def create_model_card(self, *args: Any, folder: Path | None = None, **kwargs: Any) -> None:
        """Write the card from the files in a folder, the output folder if None; `Trainer`'s own arguments are not used.

        Adapters have no configuration of their own, and therefore no card.
        """
        folder = folder or Path(self.args.output_dir)
        if self.is_world_process_zero() and (folder / "config.json").is_file():
            save_model_card(folder, repo_id=self.hub_model_id, license=self.args.license, base_model=self.base_model)

    @property
    def base_model(self) -> str | None:
        """The repository on the Hub that the model was loaded from, or None."""
        name = self.accelerator.unwrap_model(self.model).name_or_path
        return name if is_repository_name(name) and not Path(name).exists() else None


def average_metric(name: str, ranks_U: np.ndarray) -> float:
    """Average a ranking metric, such as `ndcg@10`, over rows."""
    metric, _, k = name.partition("@")
    return float(RANKING_METRICS[metric](ranks_U, int(k)).mean())
