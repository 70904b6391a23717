"""The models that the trials of a search begin with: new ones, or copies of a trained one."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seqrec.configuration.config_fields import TRAINING, names_for
from seqrec.inference.recommender import Recommender
from seqrec.interactions.prepared_sets import PreparedData
from seqrec.modeling.modeling_next_item import NextItemHead
from seqrec.training.job import new_model
from seqrec.training.starting_point import load_starting_point
from seqrec.training.transfer import Source, load_source

__all__ = ["GROWN", "FineTuned", "New", "Origin", "Transferred", "find_origin"]

GROWN = "grown"  # in the folder of a search


@dataclass
class New:
    """Makes new models.

    Attributes:
        model_type: The architecture.
        data: The data, whose items the models score.
        changeable: Names of the fields of the configuration that can vary; None for all.
    """

    model_type: str
    data: PreparedData
    changeable: frozenset[str] | None = None

    def make(self, config_fields: Mapping[str, Any]) -> NextItemHead:
        """Make a model."""
        return new_model(self.data, self.model_type, config_fields)

    def keep(self, folder: Path) -> None:
        """Do nothing: other processes make such models of the data alone."""


@dataclass
class Transferred(New):
    """Makes new models with the weights of a model of another catalogue.

    Attributes:
        source: That model.
    """

    source: Source | None = None

    def make(self, config_fields: Mapping[str, Any]) -> NextItemHead:
        """Make a model. What it reuses was logged when the first one was made."""
        assert self.source is not None
        logger = logging.getLogger("seqrec.training.transfer")
        was_disabled, logger.disabled = logger.disabled, True
        try:
            return new_model(self.data, self.model_type, self.source.config_fields(config_fields), self.source)
        finally:
            logger.disabled = was_disabled


@dataclass
class FineTuned:
    """Loads a model to fine-tune.

    Attributes:
        name: Its folder or repository.
        revision: Revision of the repository.
        changeable: Names of the fields of the configuration that can vary.
        grown: The model with the new items of the data; None if there are none.
        place: Where `keep` has saved it.
    """

    name: str
    revision: str | None
    changeable: frozenset[str]
    grown: Recommender | None = None
    place: Path | None = None

    def make(self, config_fields: Mapping[str, Any]) -> NextItemHead:
        """Load the model."""
        assert self.grown is None or self.place is not None
        name, revision = (self.name, self.revision) if self.place is None else (str(self.place), None)
        model = load_starting_point(name, revision=revision, config_fields=config_fields).model
        model.name_or_path = self.name
        return model

    def keep(self, folder: Path) -> None:
        """Save the model with the new items of the data, if there are any, for all trials in all processes."""
        if self.grown is not None:
            self.place = folder / GROWN
            self.grown.save_pretrained(self.place)


Origin = New | FineTuned


def find_origin(
    model_type: str,
    model: NextItemHead,
    data: PreparedData,
    *,
    model_name_or_path: str | None,
    init_from: str | None,
    model_revision: str | None,
) -> Origin:
    """Return what makes the models of trials.

    Args:
        model_type: The architecture.
        model: The first model, which was made with the data.
        data: The data.
        model_name_or_path: The model to fine-tune, if any.
        init_from: The model of another catalogue to start with, if any.
        model_revision: Revision of either repository.
    """
    if init_from is not None:
        source = load_source(init_from, model_revision)
        return Transferred(model_type, data, source.changeable, source)
    if model_name_or_path is None:
        return New(model_type, data)
    origin = FineTuned(model_name_or_path, model_revision, names_for(model.config, TRAINING))
    if data.features is not None and origin.make({}).config.vocab_size < model.config.vocab_size:
        origin.grown = Recommender(model, data.tokenizer, data.items, features=data.features)
    return origin
