"""The metadata at the top of a model card, which the Hub uses to find and list a model."""

from collections.abc import Mapping
from typing import Any

from huggingface_hub import EvalResult, ModelCardData
from huggingface_hub.utils import HFValidationError, validate_repo_id

from seqrec.hub.card_tables import ACCURACY, SPLITS, dig, label
from seqrec.hub.card_values import is_known, protocol_of, training_of
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
    found = {(split, name): dig(metrics, "model", split, name) for split in SPLITS for name in ACCURACY}
    results = [
        EvalResult(
            task_type=TASK,
            dataset_type=dataset,
            dataset_name=dataset,
            dataset_split=split,
            metric_type=name,
            metric_name=label(name),
            metric_value=value,
        )
        for (split, name), value in found.items()
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
