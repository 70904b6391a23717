"""What a trainer sets up for each model that it trains: batches, updates, metrics, callbacks."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer
from transformers.trainer_utils import IntervalStrategy, number_of_arguments

from seqrec.errors import InputError
from seqrec.inference.new_items import require_features_of
from seqrec.interactions.catalogue import Catalogue
from seqrec.interactions.histories import Histories
from seqrec.interactions.item_features import ItemFeatures
from seqrec.interactions.special_tokens import NUM_SPECIAL_TOKENS
from seqrec.modeling.modeling_next_item import NextItemHead
from seqrec.modeling.objectives import training_collator
from seqrec.training.callbacks import EarlyStopping, EpochOfCollator
from seqrec.training.checkpoints import training_settings
from seqrec.training.item_sharding import ItemSharding
from seqrec.training.lazy_adamw import LazyAdamW
from seqrec.training.row_wise_adagrad import ROW_WISE, RowWiseAdagrad, move_to_own_group
from seqrec.training.streams import CheckedCollator, as_train_rows
from seqrec.training.trainer_checks import (
    require_a_batch,
    require_same_vocabulary,
    require_tasks_labels,
    require_told_times,
    updates_sparsely,
)
from seqrec.training.training_events import set_training_events
from seqrec.training.validation_metric import validation_metrics
from seqrec.training.weight_average import AveragedWeights

__all__ = ["ModelFitting"]


class ModelFitting(ItemSharding):
    """A `Trainer` that adapts to each model: the given one, or those that `model_init` makes.

    Attributes:
        train_rows: The training rows as they were given.
        own_collator: The collator that was given, if any.
        own_optimizer: The optimizer's class and arguments that were given, if any.
        items: The catalogue that was given, if any.
        features: The item features that were given, if any.
        averaged_weights: The averages of the weights, if they are wanted.
    """

    train_rows: Any
    own_collator: Callable[[Any], dict[str, Tensor]] | None
    own_optimizer: tuple[type[Optimizer], dict[str, Any]] | None
    items: Catalogue | None
    features: ItemFeatures | None
    model_init: Callable[..., NextItemHead] | None
    averaged_weights: AveragedWeights | None

    def fit_to(self, model: NextItemHead) -> None:
        """Check that data, arguments and a model go together, and set up all that depends on the model.

        Each `train()` with `model_init` does this for its own model and, in a search, its own arguments.
        """
        args, columns = self.args, model.config.event_columns
        self.train_dataset = as_train_rows(self.train_rows, model.config.data_columns)
        require_a_batch(args, self.train_dataset)
        require_same_vocabulary(model, self.processing_class, self.train_dataset)
        require_told_times(self.eval_dataset, columns)
        require_tasks_labels(model.config, self.train_dataset, self.eval_dataset)
        require_features_of(model, self.features)
        self.divide_items(model)
        self.validation_metrics = validation_metrics(
            args,
            self.eval_dataset,
            num_items=model.config.vocab_size - NUM_SPECIAL_TOKENS,
            has_own_metrics=self.compute_metrics is not None,
            tasks=model.config.label_tasks,
        )
        self.settings = training_settings(
            model.config, args, self.processing_class, self.train_dataset, self.eval_dataset
        )
        self.data_collator = self.own_collator or self.make_collator(model)
        self.optimizer_cls_and_kwargs = self.own_optimizer
        is_sparse = updates_sparsely(model.config, args)
        model.get_input_embeddings().sparse = is_sparse  # an earlier trainer of the model may have decided otherwise
        is_row_wise = args.item_optim == "rowwise_adagrad"
        if is_sparse or is_row_wise:
            settings = {"lr": args.learning_rate, "betas": (args.adam_beta1, args.adam_beta2), "eps": args.adam_epsilon}
            kind = RowWiseAdagrad if is_row_wise else LazyAdamW
            self.optimizer_cls_and_kwargs = self.own_optimizer or (kind, settings)
        if self.items is not None:
            model.set_item_counts(self.items.counts_by_token)
        set_training_events(model, self.train_dataset)

    def create_optimizer(self, model: nn.Module | None = None) -> Optimizer:
        """Make the optimizer as `Trainer` does; row-wise Adagrad updates the item table."""
        optimizer = super().create_optimizer(model)
        if self.args.item_optim == "rowwise_adagrad":
            rate = self.args.item_learning_rate or self.args.learning_rate
            table = self.bare_model.get_input_embeddings().weight
            move_to_own_group(optimizer, table, lr=rate, **{ROW_WISE: True})
        return optimizer

    def make_collator(self, model: NextItemHead) -> Callable[[Any], dict[str, Tensor]]:
        """Return the collator of a model, which also checks the rows of a stream."""
        args = self.args
        # Persistent workers would not receive the number of the next epoch.
        seed = None if args.dataloader_persistent_workers else (args.seed if args.data_seed is None else args.data_seed)
        collator = training_collator(model, self.processing_class, packing=args.packing, seed=seed)
        is_checked = self.train_dataset is None or isinstance(self.train_dataset, Histories)
        return collator if is_checked else CheckedCollator(collator, model.config.vocab_size, model.config.rating_scale)

    def renew_callbacks(self) -> None:
        """Add the callbacks that belong to one training: its patience, its collator, and its averaged weights."""
        for kind in (EarlyStopping, EpochOfCollator, AveragedWeights):
            self.remove_callback(kind)
        self.averaged_weights = None
        if self.args.ema_decay:
            self.averaged_weights = AveragedWeights(self.args.ema_decay)
            self.add_callback(self.averaged_weights)
        if (
            self.eval_dataset is not None
            and self.args.early_stopping_patience
            and self.args.eval_strategy != IntervalStrategy.NO
        ):
            self.add_callback(EarlyStopping(self.args.early_stopping_patience))
        if hasattr(self.data_collator, "set_epoch"):
            self.add_callback(EpochOfCollator(self.data_collator))

    def call_model_init(self, trial: Any = None) -> NextItemHead:
        """Make a model; `trial` is that of a search."""
        assert self.model_init is not None
        takes_trial = number_of_arguments(self.model_init) == 1
        model = self.model_init(trial) if takes_trial else self.model_init()
        if not hasattr(getattr(model, "config", None), "event_columns"):
            raise InputError(f"model_init must return a model of seqrec with its head, but returned {model!r:.99}.")
        return model
