"""A pretrained model to fine-tune: weights, vocabulary, titles and item features."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from seqrec.configuration.config_fields import TRAINING, names_for
from seqrec.errors import InputError
from seqrec.hub.saved_folder import SavedModel, load_saved, saved_model_type
from seqrec.inference.new_items import grow_by, wanted_columns
from seqrec.interactions.tokenization_items import ItemTokenizer
from seqrec.modeling.modeling_auto import MODEL_TYPES

__all__ = ["GrowingModel", "chosen_model_type", "load_starting_point", "require_one_start"]

DEFAULT_MODEL_TYPE = "sasrec"

logger = logging.getLogger(__name__)


@dataclass
class GrowingModel:
    """A model to fine-tune, to which the new items of the data are added first.

    Attributes:
        saved: The model with all items.
        item_text_model: Where the model for texts of items is, if not where it was in training.
    """

    saved: SavedModel
    item_text_model: str | None = None

    @property
    def tokenizer(self) -> ItemTokenizer:
        """The vocabulary."""
        return self.saved.tokenizer

    @property
    def wanted_columns(self) -> list[str]:
        """The columns of new items that are read, as `name:kind`."""
        return wanted_columns(self.saved.features)

    def add(self, new: pl.DataFrame) -> None:
        """Add items, the rows of a table from `read_items`; see `Recommender.add_items`."""
        saved = self.saved
        grown = grow_by(
            saved.model,
            saved.tokenizer,
            saved.items,
            new,
            features=saved.features,
            item_text_model=self.item_text_model,
        )
        self.saved = SavedModel(grown.model, grown.tokenizer, grown.items, saved.features)
        logger.warning(  # as a warning, so that it is always shown
            "Added %s new items to the %s of the model.", f"{len(new):,}", f"{len(saved.items):,}"
        )


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


def require_one_start(model_name_or_path: str | None, init_from: str | None) -> str | None:
    """Return the model that training starts from: one to fine-tune, one of another catalogue, or None.

    Raises:
        InputError: If both are given.
    """
    if None not in (model_name_or_path, init_from):
        raise InputError(
            f"Both model_name_or_path={model_name_or_path!r} and init_from={init_from!r} were given. Give the first to "
            "fine-tune a model on its own catalogue, the second to start a model of another catalogue."
        )
    return model_name_or_path or init_from


def chosen_model_type(model_type: str | None, start: str | None, revision: str | None) -> str:
    """Return the architecture to train: the one requested, or that of the model to start from.

    Args:
        model_type: The architecture requested, if any.
        start: Folder or repository of the model to fine-tune or to transfer; None to train from scratch.
        revision: Revision of that repository.

    Raises:
        InputError: If the model to start from has another architecture, or a revision is given without a model.
        SavedFolderError: If its configuration is missing or damaged.
        HubError: If the Hub refuses.
        HubConnectionError: If the Hub cannot be reached, or fails.
    """
    if start is None:
        if revision is not None:
            raise InputError(f"model_revision={revision!r} has no effect without a model to start from. Leave it out.")
        return model_type or DEFAULT_MODEL_TYPE
    found = saved_model_type(start, revision=revision)
    if model_type not in (None, found):
        raise InputError(f"model_type={model_type!r} was given, but {start} is a {found}. Leave it out.")
    return found
