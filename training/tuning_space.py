"""The settings that a search varies, and between which values."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, get_args

import numpy as np

from seqrec.configuration.config_fields import own_fields
from seqrec.configuration.configuration_next_item import NextItemConfig
from seqrec.errors import InputError
from seqrec.interactions.prepared_sets import PreparedData
from seqrec.training.arguments import SequentialTrainingArguments

__all__ = ["Options", "Range", "Space", "search_space"]

MANY_ITEMS = 5_000  # beyond, sampled negatives may learn as well as the full softmax, and faster
MANY_USERS = 20_000  # beyond, small batches take too long
LONG = 0.95  # share of the training histories that the longest choice of positions holds completely
WITH_NEGATIVES = ("sampled_softmax", "gbce")
# Settings that did well on other data: a search tries them after the defaults, before it draws its own.
OPENINGS: tuple[dict[str, Any], ...] = (
    {"position_embedding_type": "rotary", "hidden_dropout": 0.3, "learning_rate": 2e-3},
    {"logit_scale": 20, "hidden_size": 128, "hidden_dropout": 0.5, "num_hidden_layers": 1},
    {"logit_scale": 20, "position_embedding_type": "rotary", "hidden_dropout": 0.4, "per_device_train_batch_size": 128},
)


@dataclass(frozen=True)
class Options:
    """A setting with a few values."""

    values: tuple[Any, ...]

    def suggest(self, trial: Any, name: str) -> Any:
        """Draw a value."""
        return trial.suggest_categorical(name, self.values)

    def including(self, value: Any) -> "Options":
        """Return the same options and this one."""
        return self if value in self.values else Options((*self.values, value))

    def holds(self, value: Any) -> bool:
        """Return whether a value can be drawn."""
        return value in self.values


@dataclass(frozen=True)
class Range:
    """A setting with a number between two bounds, drawn by its logarithm or, with `step`, in steps."""

    low: float
    high: float
    step: float | None = None

    def suggest(self, trial: Any, name: str) -> Any:
        """Draw a value; numbers without a step are drawn by their logarithm."""
        drawn = trial.suggest_float(name, self.low, self.high, step=self.step, log=self.step is None)
        return drawn if self.step is None else round(drawn, 6)

    def including(self, value: Any) -> "Range":
        """Return a range that holds this value too."""
        if self.step is None:
            return Range(min(self.low, value), max(self.high, value))
        return self if self.holds(value) else Range(min(self.low, value), max(self.high, value), 0.01)

    def holds(self, value: Any) -> bool:
        """Return whether a value can be drawn."""
        steps = 0 if self.step is None else (value - self.low) / self.step
        return self.low <= value <= self.high and abs(steps - round(steps)) < 1e-6


@dataclass(frozen=True)
class Space:
    """The settings that a search varies.

    Attributes:
        choices: Their values, by name.
        defaults: Their values without a search.
        fixed: The names of the settings that flags fix.
        sizes: `hidden_size` and `intermediate_size` without a search; the latter follows the former, if it is free.
    """

    choices: dict[str, Options | Range]
    defaults: dict[str, Any]
    fixed: frozenset[str]
    sizes: tuple[int, int] | None

    def draw(self, trial: Any) -> dict[str, Any]:
        """Draw values of all settings that have an effect."""
        drawn: dict[str, Any] = {}
        for name, choice in self.choices.items():
            if self.has_effect(name, drawn):
                drawn[name] = choice.suggest(trial, name)
        return drawn

    def has_effect(self, name: str, drawn: Mapping[str, Any]) -> bool:
        """Return whether a setting has an effect, given those drawn before it: negatives depend on the loss."""
        loss = drawn.get("loss")
        if name == "num_negatives":
            return loss is None or loss in WITH_NEGATIVES
        if name == "negative_sampling":
            return loss in (None, "sampled_softmax")
        return True

    def settings(self, drawn: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings of a trial: those drawn, and those that follow from them."""
        found = dict(drawn)
        if self.sizes and "hidden_size" in drawn and "intermediate_size" not in {*self.fixed, *drawn}:
            hidden, inner = self.sizes
            found["intermediate_size"] = max(1, inner * drawn["hidden_size"] // hidden)
        if drawn.get("loss") == "gbce" and "negatives_shared_by" not in self.fixed:
            found["negatives_shared_by"] = "sequence"  # with which it learns far better
        return found

    def first_trials(self) -> list[dict[str, Any]]:
        """Return what to try first: the defaults, and settings that did well on other data."""
        trials = [self.defaults]
        for opening in OPENINGS:
            known = {name: value for name, value in opening.items() if self.knows(name, value)}
            if known and (one := {**self.defaults, **known}) not in trials:
                trials.append(one)
        return [{name: value for name, value in one.items() if self.has_effect(name, one)} for one in trials]

    def knows(self, name: str, value: Any) -> bool:
        """Return whether a setting is searched and can have a value."""
        return name in self.choices and self.choices[name].holds(value)


def search_space(
    arguments: SequentialTrainingArguments,
    config: NextItemConfig,
    data: PreparedData,
    *,
    fixed: Collection[str],
    only: Sequence[str] | None = None,
    changeable: Collection[str] | None = None,
) -> Space:
    """Choose the settings to vary for an architecture and data.

    Args:
        arguments: The training arguments without a search.
        config: The configuration without a search.
        data: The prepared data.
        fixed: Names of the settings that were given, which are kept.
        only: Names of the settings to vary; None for all that are usually worth it.
        changeable: Names of the fields of the configuration that can vary; None for all.

    Raises:
        InputError: If one of `only` cannot be searched, or is in `fixed`.
    """
    usual, others = usual_choices(config, data, fixed), rare_choices()
    names = {declared.name for declared in own_fields(config)}
    if changeable is not None:
        names &= set(changeable)
    available = {
        name: choice for name, choice in {**usual, **others}.items() if hasattr(arguments, name) or name in names
    }
    if only is not None:
        require_searchable(only, available, fixed, config.model_type)
    wanted = {name for name in usual if name in available} if only is None else set(only)
    if config.loss == "cross_entropy" and "loss" not in (wanted - set(fixed)):
        wanted -= {"num_negatives", "negative_sampling", "gbce_calibration"}
    choices, defaults = {}, {}
    for name, choice in available.items():
        if name not in wanted or name in fixed:
            continue
        default = getattr(config, name) if name in names else getattr(arguments, name)
        choice = choice.including(default)
        if not isinstance(choice, Options) or len(choice.values) > 1:
            choices[name], defaults[name] = choice, default
    sizes = (config.hidden_size, config.intermediate_size) if hasattr(config, "intermediate_size") else None
    return Space(choices, defaults, frozenset(fixed), sizes)


def usual_choices(config: NextItemConfig, data: PreparedData, fixed: Collection[str]) -> dict[str, Options | Range]:
    """Return the settings that are usually worth a search; those that an architecture lacks are left out later."""
    has_many_users = len(data.sequences["train"]) > MANY_USERS
    loss = Options(("cross_entropy", *WITH_NEGATIVES))
    uses_negatives = len(data.items) > MANY_ITEMS or config.loss != "cross_entropy"
    return {
        "learning_rate": Range(3e-4, 5e-3),
        "per_device_train_batch_size": Options((32, 64, 128, 256) if has_many_users else (16, 32, 64, 128)),
        "hidden_size": Options((32, 64, 128, 256)),
        "num_hidden_layers": Options((1, 2, 3)),
        "num_attention_heads": heads(config, fixed),
        "hidden_dropout": Range(0.0, 0.6, 0.05),
        "max_position_embeddings": Options(lengths(data)),
        **({"position_embedding_type": Options(position_types(config))} if position_types(config) else {}),
        "logit_scale": Options((None, 10, 14, 20, 30)),
        **({"loss": loss} if uses_negatives else {}),
        **({"num_negatives": Options((256, 1024, 4096))} if uses_negatives else {}),
        **({"negative_sampling": Options(("uniform", "log_uniform"))} if uses_negatives else {}),
        **({"item_id_embedding": Options(("free", "bounded"))} if data.features is not None else {}),
        "masking_probability": Range(0.1, 0.6, 0.05),
        "last_item_share": Range(0.0, 0.5, 0.1),
    }


def rare_choices() -> dict[str, Options | Range]:
    """Return the settings that are only searched if they are named."""
    return {
        "weight_decay": Options((0.0, 0.01, 0.1)),
        "adam_beta2": Options((0.98, 0.99, 0.999)),
        "ema_decay": Options((0.0, 0.99, 0.999)),
        "lr_scheduler_type": Options(("linear", "cosine", "constant")),
        "attention_dropout": Range(0.0, 0.5, 0.05),
        "intermediate_size": Options((64, 128, 256, 512, 1024)),
        "loss": Options(("cross_entropy", *WITH_NEGATIVES)),
        "num_negatives": Options((256, 1024, 4096)),
        "negative_sampling": Options(("uniform", "log_uniform")),
        "gbce_calibration": Range(0.0, 1.0, 0.05),
        "item_id_bound": Options((0.25, 0.5, 1.0)),
    }


def heads(config: NextItemConfig, fixed: Collection[str]) -> Options:
    """Return numbers of attention heads that divide any size that may be drawn."""
    size = config.hidden_size if "hidden_size" in fixed else np.gcd(config.hidden_size, 32)
    return Options(tuple(number for number in (1, 2, 4) if size % (2 * number) == 0))  # rotary positions need pairs


def lengths(data: PreparedData) -> tuple[int, ...]:
    """Return numbers of positions, up to the first that holds nearly all training histories."""
    longest = float(np.quantile(data.sequences["train"].lengths_R, LONG))
    below = [length for length in (20, 50, 100, 200) if length < longest]
    return (*below, next((length for length in (20, 50, 100, 200) if length >= longest), 200))[:4]


def position_types(config: NextItemConfig) -> tuple[str, ...]:
    """Return the kinds of positions of an architecture."""
    declared = {one.name: one for one in own_fields(config)}.get("position_embedding_type")
    return () if declared is None else tuple(map(str, get_args(declared.type)))


def require_searchable(names: Sequence[str], known: Collection[str], fixed: Collection[str], model_type: str) -> None:
    """Raise an `InputError` for the name of a setting that cannot be searched."""
    for name in names:
        if name not in known:
            near = get_close_matches(name, list(known), n=1)
            advice = f"Did you mean {near[0]!r}?" if near else f"Choose from: {', '.join(sorted(known))}."
            raise InputError(f"search={name!r} is no setting that a search of {model_type} can vary. {advice}")
        if name in fixed:
            raise InputError(f"{name} is named by `search`, but its value is given too. Leave one of them out.")
