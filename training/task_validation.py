"""What a trainer measures of label tasks, and their calibration."""

from collections.abc import Callable
from functools import partial

import numpy as np
from datasets import Dataset

from seqrec.evaluation.calibration import fit_calibration
from seqrec.evaluation.task_evaluator import predict_targets, target_logits
from seqrec.evaluation.task_report import validation_task_metrics
from seqrec.evaluation.task_rows import with_shown
from seqrec.interactions.histories import Histories, as_histories
from seqrec.interactions.label_names import RATING, target_key
from seqrec.training.bare_model import BareModel
from seqrec.training.progress import shows_bars
from seqrec.training.row_sharing import compute_by_row

__all__ = ["TaskValidation"]

OPTIONAL = ("user_id",)  # columns of rows that are read if there are any


class TaskValidation(BareModel):
    """A `Trainer` that predicts outcomes, such as ratings and clicks, for the target of each held-out row.

    Attributes:
        eval_impressions: Impressions that belong to the validation rows, if there are any.
    """

    eval_impressions: Histories | None

    def predict_targets(self, dataset: Histories | Dataset) -> dict[str, np.ndarray]:
        """Predict the outcome of each row's target by task; see `task_evaluator.predict_targets`.

        The rows are divided among the processes, which exchange only results.
        """
        return self.values_of_targets(predict_targets, dataset)

    def values_of_targets(
        self, compute: Callable[..., dict[str, np.ndarray]], dataset: Histories | Dataset
    ) -> dict[str, np.ndarray]:
        """Compute predictions or logits of the target of each row."""
        model = self.bare_model
        computed = partial(
            compute,
            model,
            max_length=model.config.max_history_length,
            batch_size=self.args.per_device_eval_batch_size,
            progress=shows_bars(self.args),
        )
        histories = as_histories(dataset, [*model.config.event_columns, "target"])
        return compute_by_row(computed, histories, self.args)

    def task_metrics(self, dataset: Histories | Dataset) -> dict[str, float]:
        """Compute the metrics of the label tasks, such as `rating_rmse`, for which rows have labels."""
        tasks = self.bare_model.config.label_tasks
        labels = [target_key(task) for task in tasks if target_key(task) in dataset.column_names]
        if not labels:
            return {}
        optional = [name for name in OPTIONAL if name in dataset.column_names]
        names = [*self.bare_model.config.event_columns, "target", *labels, *optional]
        rows = as_histories(dataset, names)
        if dataset is self.eval_dataset:
            rows = with_shown(rows, self.eval_impressions)
        return validation_task_metrics(self.predict_targets(rows), rows)

    def calibrate(self, dataset: Histories | Dataset) -> dict[str, tuple[float, float]]:
        """Fit the calibration of each binary task on held-out rows, and set it in the model.

        Args:
            dataset: Validation rows, with a `target` and its labels.

        Returns:
            Slope and shift of each binary task; see `fit_calibration`.
        """
        model = self.bare_model
        tasks = [task for task in model.config.label_tasks if task != RATING]
        if not tasks:
            return {}
        rows = as_histories(dataset, [*model.config.event_columns, "target", *map(target_key, tasks)])
        logits = self.values_of_targets(target_logits, rows)
        found = {}
        for task in tasks:
            labels_U = np.where(np.isnan(logits[task]), np.nan, rows.rows[target_key(task)])
            found[task] = fit_calibration(logits[task], labels_U, task=task)
            model.set_calibration(task, *found[task])
        return found
