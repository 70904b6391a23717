"""Validation of a trainer: rank held-out items against the full catalogue."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from datasets import Dataset
from transformers import EvalPrediction, TrainerControl
from transformers.trainer_utils import PredictionOutput

from seqrec.errors import InputError, NonFiniteError
from seqrec.evaluation.evaluator import Ranking, rank_dataset
from seqrec.evaluation.metrics import RANKING_METRICS
from seqrec.evaluation.sharded_scorer import ShardedScorer
from seqrec.interactions.histories import Histories, as_histories
from seqrec.search.finite import require_finite_weights
from seqrec.training.item_sharding import ItemSharding
from seqrec.training.progress import shows_bars
from seqrec.training.row_sharing import compute_by_row
from seqrec.training.task_validation import TaskValidation

__all__ = ["RankingValidation"]


class RankingValidation(ItemSharding, TaskValidation):
    """A `Trainer` that evaluates by ranking the target of each row among all items.

    Attributes:
        validation_metrics: Names of the metrics to compute, such as `ndcg@10`.
    """

    validation_metrics: tuple[str, ...]

    def require_finite_weights(self) -> None:
        """Raise a `NonFiniteError` that names the step if a weight is infinite or NaN."""
        try:
            require_finite_weights(self.bare_model.named_parameters())
        except NonFiniteError as error:
            raise NonFiniteError(f"After step {self.state.global_step}: {error}") from error

    def rank(self, dataset: Histories | Dataset, list_length: int = 0) -> Ranking:
        """Rank the target of each row. The rows are divided among the processes, which exchange only results."""
        model, items = self.bare_model, self.sharded_items
        rank = partial(
            rank_dataset,
            max_length=model.config.max_history_length,
            exclude_seen=self.args.exclude_seen,
            list_length=list_length,
            progress=shows_bars(self.args),
        )
        histories = as_histories(dataset, [*model.config.event_columns, "target"])
        batch_size = self.args.per_device_eval_batch_size
        if items is not None:  # all processes rank all rows, each against its own items
            return rank(ShardedScorer(model, items), histories, batch_size=batch_size * self.args.world_size)

        def rank_rows(rows: Histories) -> dict[str, np.ndarray]:
            return vars(rank(model, rows, batch_size=batch_size))

        return Ranking(**compute_by_row(rank_rows, histories, self.args))

    def evaluate(
        self,
        eval_dataset: Histories | Dataset | Mapping[str, Histories | Dataset] | str | None = None,
        ignore_keys: list[str] | None = None,
        metric_key_prefix: str = "eval",
    ) -> dict[str, float]:
        """Rank the held-out items and log the metrics, such as `eval_ndcg@10` and, of tasks, `eval_rating_rmse`.

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
        """Rank the held-out items of a data set, average the validation metrics, and measure the label tasks."""
        ranks_U = self.rank(rows).ranks_U
        metrics = {name: average_metric(name, ranks_U) for name in self.validation_metrics} | self.task_metrics(rows)
        targets_U = np.asarray(rows["target"])
        if self.compute_metrics is not None:
            metrics |= self.compute_metrics(EvalPrediction(predictions=ranks_U, label_ids=targets_U))
        named = {
            name if name.startswith(f"{prefix}_") else f"{prefix}_{name}": value for name, value in metrics.items()
        }
        return PredictionOutput(predictions=ranks_U, label_ids=targets_U, metrics=named)

    def _determine_best_metric(self, metrics: dict[str, float], trial: Any) -> bool:
        name = self.args.metric_for_best_model
        if name is not None and f"eval_{name}" not in metrics:  # such as that of the user's compute_metrics
            raise InputError(
                f"metric_for_best_model={name!r} is not computed in validation, which gives "
                f"{', '.join(measured_names(metrics))}. Give one of them."
            )
        return super()._determine_best_metric(metrics, trial)


def measured_names(metrics: Mapping[str, float]) -> list[str]:
    """List the metrics of an evaluation, without what the library adds, such as the epoch."""
    return [name.removeprefix("eval_") for name in metrics if name.startswith("eval_")]


def average_metric(name: str, ranks_U: np.ndarray) -> float:
    """Average a ranking metric, such as `ndcg@10`, over rows."""
    metric, _, k = name.partition("@")
    return float(RANKING_METRICS[metric](ranks_U, int(k)).mean())
