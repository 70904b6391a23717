"""A pretrained model to fine-tune: weights, vocabulary, titles and item features."""

from collections.abc import Mapping
from typing import Any

from seqrec.configuration.config_fields import TRAINING, names_for
from seqrec.errors import InputError
from seqrec.hub.saved_folder import SavedModel, load_saved, saved_model_type
from seqrec.modeling.modeling_auto import MODEL_TYPES

__all__ = ["chosen_model_type", "load_starting_point"]

DEFAULT_MODEL_TYPE = "sasrec"


def load_starting_point(
    name_or_path: str, *, revision: str | None = None, config_fields: Mapping[str, Any] | None = None
) -> SavedModel:
    """Load a folder written by `seqrec train` or `Recommender.save_pretrained`, or a repository of the Hub.

    Args:
        name_or_path: Folder, or `"org/name"`.
        revision: Branch, commit or `refs/pr/NUMBER` of the repository.
        config_fields: Fields of the configuration to change, of those that only training reads.

    Raises:
        InputError: On other fields, or a mistyped path.
        SavedFolderError: If a part of the model is missing or damaged, or the parts do not fit together.
        HubError: If the Hub refuses.
        HubConnectionError: If the Hub cannot be reached, or fails.
    """
    fields = dict(config_fields or {})
    config_class = MODEL_TYPES[saved_model_type(name_or_path, revision=revision)]
    changeable = names_for(config_class, TRAINING)
    fixed = sorted(fields.keys() - changeable)
    if fixed:
        raise InputError(
            f"{fixed[0]} cannot be changed, because the weights of {name_or_path} depend on its value. "
            f"Fine-tuning can change: {', '.join(sorted(changeable))}."
        )
    return load_saved(name_or_path, revision=revision, config_fields=fields)


def chosen_model_type(model_type: str | None, start: str | None, revision: str | None) -> str:
    """Return the architecture to train: the one requested, or that of the model to fine-tune.

    Args:
        model_type: The architecture requested, if any.
        start: Folder or repository of the model to fine-tune; None to train from scratch.
        revision: Revision of that repository.

    Raises:
        InputError: If the model to fine-tune has another architecture, or a revision is given without a model.
        SavedFolderError: If its configuration is missing or damaged.
        HubError: If the Hub refuses.
        HubConnectionError: If the Hub cannot be reached, or fails.
    """
    if start is None:
        if revision is not None:
            raise InputError(f"model_revision={revision!r} has no effect without a model to fine-tune. Leave it out.")
        return model_type or DEFAULT_MODEL_TYPE
    found = saved_model_type(start, revision=revision)
    if model_type not in (None, found):
        raise InputError(f"model_type={model_type!r} was given, but {start} is a {found}. Leave it out.")
    return found
