"""Checks of saved weights: whether they fit a configuration, from the files' headers alone; and that they are finite.

What decides the scores beside the weights is kept in the files' metadata, so that a configuration that was changed
since is found out.
"""

import copy
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel

from seqrec.errors import InputError
from seqrec.modeling.weight_files import METADATA, StoredTensor, read_header, read_tensors, rewrite_metadata

FLOATS = ("F16", "BF16", "F32", "F64")
SCORING = "seqrec_scoring"  # the metadata's entry
SIZES = ("vocab_size", "hidden_size", "num_hidden_layers", "intermediate_size")
REMEDY = "Take both from one training."


def mark_weights(files: Iterable[Path], config: Any) -> None:
    """Write into saved weights what of their configuration decides the scores."""
    text = json.dumps(config.scoring_fields(), sort_keys=True)
    for path in files:
        rewrite_metadata(path, {SCORING: text})


def require_trained_configuration(files: Iterable[Path], config: Any) -> None:
    """Raise a `ValueError` if weights were trained with other fields than a configuration has.

    Files without the entry, as earlier versions wrote them, are taken as they are.
    """
    for path in files:
        header, _ = read_header(path)
        trained = read_scoring_fields(path, header.get(METADATA) or {})
        stated = config.scoring_fields()
        for name, value in trained.items():
            if name not in stated or stated[name] != value:
                raise InputError(
                    f"{path} was trained with {name}={value!r}, but its config.json says "
                    f"{stated.get(name, 'nothing of it')!r}. {REMEDY}"
                )


def read_scoring_fields(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    """Read the metadata's entry; nothing where there is none."""
    try:
        fields = json.loads(metadata.get(SCORING, "{}"))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read: its {SCORING} is no JSON. Save the model again.") from error
    if not isinstance(fields, dict):
        raise InputError(f"{path} cannot be read: its {SCORING} is no JSON object. Save the model again.")
    return fields


def require_fitting_weights(
    model_class: type[PreTrainedModel], config: PreTrainedConfig, files: list[Path], *, same_shapes: bool = True
) -> None:
    """Raise a `ValueError` unless saved weights are what a model of this configuration needs.

    Nothing is allocated: sizes are first held against the headers, then the model is built without storage.

    Args:
        model_class: What is to be loaded.
        config: Its configuration.
        files: The safetensors.
        same_shapes: Whether a tensor of another shape is an error.
    """
    where = str(files[0]) if len(files) == 1 else f"{files[0]} (and {len(files) - 1} more)"
    stored = {name: tensor for path in files for name, tensor in read_tensors(path).items()}
    refuse_impossible_sizes(where, config, stored)
    expected = expected_tensors(where, model_class, config)
    prefix = f"{model_class.base_model_prefix}."
    if not any(name.startswith(prefix) for name in expected):  # a backbone, whose weights may be saved with a head's
        stored = {name.removeprefix(prefix): tensor for name, tensor in stored.items()}
    elif not any(name.startswith(prefix) for name in stored):  # a head, whose backbone may be saved alone
        stored = {prefix + name: tensor for name, tensor in stored.items()}
    refuse_other_dtypes(where, stored, expected)
    misfits = describe_misfits(
        {
            "missing": sorted(expected.keys() - stored.keys()),
            "superfluous": sorted(stored.keys() - expected.keys()),
            "of another shape": sorted(
                name
                for name in stored.keys() & expected.keys()
                if same_shapes and stored[name].shape != tuple(expected[name].shape)
            ),
        }
    )
    if misfits:
        raise InputError(f"{where} does not fit config.json: {misfits}. {REMEDY}")


def refuse_impossible_sizes(where: str, config: Any, stored: Mapping[str, StoredTensor]) -> None:
    """Raise a `ValueError` for sizes that make a model of more layers or weights than were saved."""
    num_weights = sum(tensor.size for tensor in stored.values())
    for name in SIZES:
        if getattr(config, name) > num_weights:
            raise InputError(
                f"{where} does not fit config.json: {name} is {getattr(config, name)}, but all weights together are "
                f"{num_weights} numbers. {REMEDY}"
            )
    if config.num_hidden_layers > len(stored):
        raise InputError(
            f"{where} does not fit config.json: num_hidden_layers is {config.num_hidden_layers}, but there are "
            f"{len(stored)} tensors in all. {REMEDY}"
        )


def expected_tensors(where: str, model_class: type[PreTrainedModel], config: PreTrainedConfig) -> dict[str, Tensor]:
    """Build a model without storage; return its tensors."""
    try:
        with torch.device("meta"):
            return model_class(copy.deepcopy(config)).state_dict()
    except (RuntimeError, OverflowError) as error:  # sizes beyond what a number of 64 bits can count
        raise InputError(f"{where} does not fit config.json: no model can be that large. {REMEDY}") from error


def refuse_other_dtypes(where: str, stored: Mapping[str, StoredTensor], expected: Mapping[str, Tensor]) -> None:
    """Raise a `ValueError` for weights that are whole, boolean or complex numbers, which would be read as zeros."""
    for name, tensor in stored.items():
        if tensor.dtype not in FLOATS and (name not in expected or expected[name].is_floating_point()):
            raise InputError(
                f"{where} holds {name} as {tensor.dtype}, but weights are floating-point numbers "
                f"({', '.join(FLOATS)}). Save the model again in one of these."
            )


def describe_misfits(found: Mapping[str, list[str]]) -> str:
    """Say in how many places weights and configuration disagree, and where first; nothing if they don't."""
    return ", ".join(f"{len(names)} tensors are {how} (first: {names[0]})" for how, names in found.items() if names)
