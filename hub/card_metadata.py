"""The metadata at the top of a model card, which the Hub uses to find and list a model."""

from collections.abc import Mapping
from typing import Any

from huggingface_hub import EvalResult, ModelCardData
from huggingface_hub.utils import HFValidationError, validate_repo_id

from seqrec.evaluation.task_tables import METRIC_LABELS, shown_metrics
from seqrec.hub.card_tables import ACCURACY, SPLITS, dig, label
from seqrec.hub.card_values import is_known, mapping, protocol_of, training_of
from seqrec.hub.markdown import one_line

__all__ = ["card_metadata", "is_repository_name"]

TAGS = ("sequential-recommendation", "recommender-system", "next-item-prediction")
TASK = "sequential-recommendation"


def card_metadata(metrics: Mapping[str, Any], *, dataset: str, model_name: str, model_type: str) -> ModelCardData:
    """Build the metadata, with the model's accuracy as `model-index` if the data set has a name.

    There is no `pipeline_tag`: the Hub has no recommendation task, and a related one would promise a widget and an
    interface that the model does not have.
    """
    training = training_of(metrics)
    dataset, model_name = one_line(dataset), one_line(model_name)
    results = [
        EvalResult(
            task_type=TASK,
            dataset_type=dataset,
            dataset_name=dataset,
            dataset_split=split,
            metric_type=one_line(name),
            metric_name=one_line(shown),
            metric_value=value,
        )
        for split in SPLITS
        for name, shown, value in [*accuracy(metrics, split), *task_results(metrics, split)]
        if dataset and is_known(value)
    ]
    return ModelCardData(
        library_name="seqrec",
        license=stated(training.get("license")),
        base_model=stated(training.get("base_model")),
        datasets=[dataset] if dataset and protocol_of(metrics).get("dataset_is_on_hub") else None,
        tags=[*TAGS, one_line(model_type)],
        eval_results=results or None,
        model_name=model_name if results else None,  # only allowed with results
    )


def accuracy(metrics: Mapping[str, Any], split: str) -> list[tuple[str, str, Any]]:
    """List the name, shown name and value of each metric of recommending."""
    return [(name, label(name), dig(metrics, "model", split, name)) for name in ACCURACY]


def task_results(metrics: Mapping[str, Any], split: str) -> list[tuple[str, str, Any]]:
    """List the name, shown name and value of each metric of label tasks, such as `rating_rmse`."""
    return [
        (f"{task}_{name}", f"{METRIC_LABELS[name]} ({task})", dig(metrics, "tasks", task, "model", split, name))
        for task in mapping(metrics.get("tasks"))
        for name in shown_metrics(task)
    ]


def stated(value: str | None) -> str | None:
    """Put a text on one line; None stays None."""
    return None if value is None else one_line(value)


def is_repository_name(name: str) -> bool:
    """Return whether a name could be a repository on the Hub: `org/name`."""
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return "/" in name
