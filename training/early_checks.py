"""Checks of a job's settings before anything is read or written."""

import re

from transformers.integrations import get_available_reporting_integrations, get_reporting_integration_callbacks

from seqrec.configuration.configuration_next_item import NextItemConfig
from seqrec.errors import InputError
from seqrec.training.arguments import SequentialTrainingArguments
from seqrec.training.trainer_checks import refuse_idle_arguments, updates_sparsely
from seqrec.training.validation_metric import require_known_metric

__all__ = ["check_settings"]

SETTINGS = re.compile(r"[^=,]+=[^=,]+(,[^=,]+=[^=,]+)*")


def check_settings(arguments: SequentialTrainingArguments, config: NextItemConfig | None) -> None:
    """Refuse settings that would otherwise only fail once the data are prepared or the training runs.

    Args:
        arguments: How to train.
        config: The configuration of the model to train, whose catalogue is not yet known; None to fine-tune a model.

    Raises:
        InputError: If there is no such tracker or it is not installed, if a value for the optimizer is not of the form
            name=value, if validation does not compute the metric that selects the best checkpoint, or if arguments
            have no effect or do not fit the model's loss.
    """
    require_trackers(arguments.report_to)
    require_optimizer_arguments(arguments.optim_args)
    refuse_idle_arguments(arguments, {})
    require_known_metric(arguments, None if config is None else config.label_tasks)
    if config is not None:
        updates_sparsely(config, arguments)


def require_trackers(names: list[str]) -> None:
    """Raise an `InputError` for a tracker that does not exist, or is not installed."""
    for name in names:
        try:
            get_reporting_integration_callbacks([name])
        except ValueError as error:
            raise InputError(f"report_to={name!r} is unknown: {error}") from error
        if name not in (available := get_available_reporting_integrations()):
            others = f" or choose one that is: {', '.join(available)}" if available else " or leave it out"
            raise InputError(f"report_to={name!r} is not installed here. Run `pip install {name}`,{others}.")


def require_optimizer_arguments(text: str | None) -> None:
    """Raise an `InputError` unless a text has the form `name=value,name=value`."""
    if text and not SETTINGS.fullmatch(text.replace(" ", "")):
        raise InputError(f"optim_args={text!r} must have the form name=value,name=value.")
