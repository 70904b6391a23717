"""The metadata at the head of a model card, by which the Hub finds and lists a model."""

from collections.abc import Mapping
from typing import Any

from huggingface_hub import EvalResult, ModelCardData
from huggingface_hub.utils import HFValidationError, validate_repo_id

from seqrec.hub.card_tables import ACCURACY, SPLITS, dig, is_known, label

TAGS = ("sequential-recommendation", "recommender-system", "next-item-prediction")
TASK = "sequential-recommendation"


def card_metadata(metrics: Mapping[str, Any], *, dataset: str, model_name: str, model_type: str) -> ModelCardData:
    """Make the metadata, with the model's measured accuracy as `model-index` if the data set has a name.

    There is no `pipeline_tag`: of the Hub's tasks none is recommendation, and a neighbouring one would promise a
    widget and a way of calling that the model has not.
    """
    training = metrics.get("training") or {}
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
        license=training.get("license"),
        base_model=training.get("base_model"),
        datasets=[dataset] if dig(metrics, "protocol", "dataset_is_on_hub") else None,
        tags=[*TAGS, model_type],
        eval_results=results or None,
        model_name=model_name if results else None,  # belongs to the results
    )


def is_repository_name(name: str) -> bool:
    """Tell whether a name could be that of a repository on the Hub: `org/name`."""
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return "/" in name
