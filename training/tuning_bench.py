"""What the trials of a search share: data, the settings that vary, and how to make a model of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
from transformers import TrainerCallback

from seqrec.interactions.data_arguments import DataArguments
from seqrec.interactions.prepared_sets import PreparedData
from seqrec.training.arguments import SequentialTrainingArguments
from seqrec.training.chosen_defaults import ChosenDefaults
from seqrec.training.job import load_model_and_data
from seqrec.training.settings import sort_settings
from seqrec.training.trainer import SequentialTrainer
from seqrec.training.tuning_budget import Clock
from seqrec.training.tuning_origin import Origin, find_origin
from seqrec.training.tuning_space import Space, search_space

__all__ = ["NUM_EPOCHS", "Bench", "Request", "make_bench"]

NUM_EPOCHS = "num_train_epochs"


@dataclass(frozen=True)
class Request:
    """What is searched.

    Attributes:
        model_type: The architecture.
        given: The settings that were given, by name, which are kept.
        search: Names of the settings to vary; None for all that are usually worth it.
        model_name_or_path: Folder or Hub repository of a model to fine-tune in each trial.
        init_from: Folder or Hub repository of a model of another catalogue, with which each trial starts.
        model_revision: Revision of either repository.
    """

    model_type: str
    given: dict[str, Any]
    search: tuple[str, ...] | None = None
    model_name_or_path: str | None = None
    init_from: str | None = None
    model_revision: str | None = None

    @property
    def starts(self) -> dict[str, str | None]:
        """The model that each trial starts with, by name."""
        return {name: getattr(self, name) for name in ("model_name_or_path", "init_from", "model_revision")}


@dataclass
class Bench:
    """What the trials of a search share.

    Attributes:
        folder: Where the best weights are kept.
        data: The prepared data.
        space: The settings that vary.
        given: The settings that do not, by name.
        model_type: The architecture.
        origin: Makes a model from fields of its configuration.
        clock: When trials must end.
        on_step: Called after each step of training.
        fastest_epoch: Seconds of the fastest epoch so far.
        chosen: The settings that were left alone, as chosen for the data.
    """

    folder: Path
    data: PreparedData
    space: Space
    given: dict[str, Any]
    model_type: str
    origin: Origin
    clock: Clock
    on_step: Callable[[], None] = lambda: None
    fastest_epoch: float = 0.0
    chosen: ChosenDefaults = field(default_factory=ChosenDefaults)

    def settings(self, study: optuna.Study, drawn: Mapping[str, Any]) -> dict[str, Any]:
        """Return all settings of a trial, by name."""
        epochs = study.user_attrs.get(NUM_EPOCHS)
        fixed = {**self.chosen.settings, **self.given, **({NUM_EPOCHS: epochs} if epochs else {})}
        return {**fixed, **self.space.settings(drawn)}

    def make_trainer(
        self,
        config_fields: Mapping[str, Any],
        arguments: SequentialTrainingArguments,
        callbacks: list[TrainerCallback] | None = None,
    ) -> SequentialTrainer:
        """Return a trainer of a new model on the data."""
        return SequentialTrainer(
            self.origin.make(config_fields),
            arguments,
            processing_class=self.data.tokenizer,
            train_dataset=self.data.sequences["train"],
            eval_dataset=self.data.sequences["validation"],
            eval_impressions=self.data.sequences.get("validation_impressions"),
            items=self.data.items,
            features=self.data.features,
            callbacks=callbacks,
        )

    def found(self, name: str, value: Any) -> bool:
        """Return whether a setting of a trial is the search's, not one that was given or chosen for the data."""
        if name in self.given:
            return False
        return name in self.space.choices or name not in self.chosen.settings or self.chosen.settings[name] != value

    def has_free_epochs(self) -> bool:
        """Return whether the search may choose how long a trial trains."""
        return not {NUM_EPOCHS, "max_steps"} & self.given.keys()


def make_bench(
    request: Request,
    arguments: SequentialTrainingArguments,
    data_arguments: DataArguments,
    prepare_data: Callable[..., PreparedData],
    *,
    folder: Path,
    clock: Clock,
) -> Bench:
    """Prepare data once, and choose the settings to vary.

    Args:
        request: What is searched.
        arguments: The training arguments without a search.
        data_arguments: Which interactions to use, and how to split them.
        prepare_data: Prepares the data, as `prepare` does.
        folder: Where the best weights are kept.
        clock: When trials must end.

    Raises:
        InputError: If a setting to vary is unknown, or given too.
    """
    fields = sort_settings(request.given, request.model_type).config
    model, data, chosen = load_model_and_data(
        data_arguments, prepare_data, request.model_type, fields, arguments, request.given, **request.starts
    )
    origin = find_origin(request.model_type, model, data, **request.starts)
    space = search_space(
        chosen.of_training(arguments),
        model.config,
        data,
        fixed=request.given,
        only=request.search,
        changeable=origin.changeable,
    )
    return Bench(folder, data, space, request.given, request.model_type, origin, clock, chosen=chosen)
