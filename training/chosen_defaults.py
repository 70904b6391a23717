"""Settings that were left alone, chosen for the data and the machine by `default_rule`."""

import os
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, get_args

import numpy as np
import torch
from transformers import TrainingArguments

from seqrec.configuration.config_fields import default_of, own_fields
from seqrec.interactions.prepared_sets import PreparedData
from seqrec.modeling.modeling_auto import MODEL_TYPES
from seqrec.training.arguments import SequentialTrainingArguments
from seqrec.training.default_rule import CHOSEN_ARGUMENTS, CHOSEN_FIELDS, Choice, Circumstances, choose_settings
from seqrec.training.processor import has_fast_bfloat16

__all__ = ["ChosenDefaults", "choose_defaults", "circumstances_of"]


@dataclass(frozen=True)
class ChosenDefaults:
    """The settings that the rule has chosen.

    Attributes:
        choices: The settings.
        circumstances: The data and the machine that they were chosen for; None if nothing was left to the rule.
    """

    choices: list[Choice] = field(default_factory=list)
    circumstances: Circumstances | None = None

    @property
    def config_fields(self) -> dict[str, Any]:
        """The chosen fields of the configuration."""
        return {one.name: one.value for one in self.choices if one.name in CHOSEN_FIELDS}

    @property
    def settings(self) -> dict[str, Any]:
        """All chosen settings."""
        return {one.name: one.value for one in self.choices}

    def of_training(self, arguments: SequentialTrainingArguments) -> SequentialTrainingArguments:
        """Return training arguments with the chosen values; the same ones if they have them already."""
        chosen = {one.name: one.value for one in self.choices if one.name in CHOSEN_ARGUMENTS}
        changed = {name: value for name, value in chosen.items() if getattr(arguments, name) != value}
        return replace(arguments, **changed) if changed else arguments

    def kept_in(self, settings: Mapping[str, Any]) -> "ChosenDefaults":
        """Leave out the choices that other settings differ from, such as those of a search's best trial."""
        kept = [one for one in self.choices if settings.get(one.name, one.value) == one.value]
        return replace(self, choices=kept)

    def describe(self) -> str:
        """Say in a few lines what was chosen for a reason, and why; an empty text if nothing was."""
        by_reason: dict[str, list[str]] = {}
        for one in self.choices:
            if one.reason:
                by_reason.setdefault(one.reason, []).append(f"{one.name} {shown(one.value)}")
        if not by_reason:
            return ""
        lines = [f"  {', '.join(chosen)}: {reason}" for reason, chosen in by_reason.items()]
        return "\n".join(["Chosen for these data and this machine (flags take precedence):", *lines])

    def record(self) -> dict[str, Any]:
        """Return the section `defaults` of `metrics.json`: the settings, the reasons, and what they were chosen for."""
        if self.circumstances is None:
            return {}
        return {
            "settings": self.settings,
            "reasons": {one.name: one.reason for one in self.choices if one.reason},
            "circumstances": {
                name: float(f"{value:.6g}") if isinstance(value, float) else value
                for name, value in asdict(self.circumstances).items()
            },
        }


def shown(value: Any) -> str:
    """Return a value as a flag takes it."""
    return str(value).lower() if value is None or isinstance(value, bool) else f"{value}"


def choose_defaults(
    data: PreparedData,
    model_type: str,
    arguments: TrainingArguments,
    given: Mapping[str, Any] | None,
    *,
    keeps_model: bool = False,
) -> ChosenDefaults:
    """Choose the settings that were left alone.

    Args:
        data: The prepared data.
        model_type: The architecture.
        arguments: The training arguments, for the device.
        given: The settings that were given, by name; None to choose none.
        keeps_model: Whether a trained model is the start, so that its configuration is kept.
    """
    if given is None:
        return ChosenDefaults()
    circumstances = circumstances_of(data, arguments)
    plain = plain_arguments() if keeps_model else {**plain_fields(model_type), **plain_arguments()}
    choices = choose_settings(circumstances, plain, given, model_type=model_type)
    allowed = {} if keeps_model else allowed_values(model_type)
    choices = [
        one if one.value in allowed.get(one.name, [one.value]) else Choice(one.name, plain[one.name]) for one in choices
    ]
    return ChosenDefaults(choices, circumstances)


def circumstances_of(data: PreparedData, arguments: TrainingArguments) -> Circumstances:
    """Describe prepared data, and the device that training arguments select."""
    protocol, lengths_R = data.protocol, data.sequences["train"].lengths_R
    users, items, interactions = (protocol[f"num_{name}"] for name in ("users", "items", "interactions"))
    length_50, length_90, length_95 = np.quantile(lengths_R, (0.5, 0.9, 0.95), method="higher").tolist()
    return Circumstances(
        num_users=users,
        num_items=items,
        num_interactions=interactions,
        catalogue_size=len(data.items),
        density=protocol["density"],
        repeat_share=max(0.0, 1 - protocol["density"] * users * items / interactions),
        mean_length=float(lengths_R.mean()),
        median_length=length_50,
        length_90=length_90,
        length_95=length_95,
        has_times="period" in protocol,
        has_item_features=data.features is not None,
        memory_gib=memory_of(arguments.device) / 2**30,
        has_fast_bfloat16=has_fast_bfloat16(arguments.device),
        has_accelerator=arguments.device.type != "cpu",
    )


def memory_of(device: torch.device) -> int:
    """Return the memory of a GPU, or else of this machine, in bytes; 0 if it is unknown."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    known = getattr(os, "sysconf_names", {})
    if not {"SC_PAGE_SIZE", "SC_PHYS_PAGES"} <= known.keys():  # such as on Windows
        return 0
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def plain_fields(model_type: str) -> dict[str, Any]:
    """Return the plain defaults of the fields that the rule may choose and an architecture has."""
    declared = own_fields(MODEL_TYPES[model_type])
    return {one.name: default_of(one) for one in declared if one.name in CHOSEN_FIELDS}


def plain_arguments(names: Collection[str] = CHOSEN_ARGUMENTS) -> dict[str, Any]:
    """Return the plain defaults of the training arguments that the rule may choose."""
    return {one.name: one.default for one in fields(SequentialTrainingArguments) if one.name in names}


def allowed_values(model_type: str) -> dict[str, tuple[Any, ...]]:
    """Return the values of an architecture's fields that are one of a few words."""
    declared = own_fields(MODEL_TYPES[model_type])
    return {one.name: words for one in declared if (words := get_args(one.type)) and all(map(is_text, words))}


def is_text(value: Any) -> bool:
    """Return whether a value is a text."""
    return isinstance(value, str)
