"""A pretrained model to fine-tune: weights, vocabulary and titles."""

from collections.abc import Mapping
from typing import Any

from seqrec.configuration.config_fields import TRAINING, names_for
from seqrec.errors import InputError
from seqrec.hub.saved_folder import SavedModel, load_saved, saved_model_type
from seqrec.modeling.modeling_auto import MODEL_TYPES

__all__ = ["load_starting_point"]


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
