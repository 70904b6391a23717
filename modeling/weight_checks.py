"""Check from their headers alone whether saved weights fit a configuration.

The files' metadata keeps the configuration fields that affect scores, so that later changes of the configuration are
detected.
"""

import copy
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel

from seqrec.configuration.config_fields import SCORING, default_of, own_fields, purpose_of
from seqrec.errors import SavedFolderError
from seqrec.modeling.weight_files import METADATA, StoredTensor, read_header, read_tensors, rewrite_metadata

__all__ = ["mark_weights", "require_fitting_weights", "require_trained_configuration"]

FLOATS = ("F16", "BF16", "F32", "F64")
ENTRY = "seqrec_scoring"  # key in the metadata
SIZES = ("vocab_size", "hidden_size", "num_hidden_layers", "intermediate_size")  # Transformers alone have the last
# Fields of version 0.1 that were never read, or could have only one value. SASRec still has hidden_act.
UNREAD = ("hidden_act", "mask_token_id", "pad_token_id", "tie_word_embeddings", "unk_token_id")
OF_HEADS = "task_heads."  # beginning of the names of weights that heads have in addition to their backbone
REMEDY = "Take both from one training."


def mark_weights(files: Iterable[Path], config: Any) -> None:
    """Write the configuration fields that affect scores into the metadata of saved weights."""
    text = json.dumps(config.scoring_fields(), sort_keys=True)
    for path in files:
        rewrite_metadata(path, {ENTRY: text})


def require_trained_configuration(files: Iterable[Path], config: Any) -> None:
    """Raise a `SavedFolderError` if weights were trained with other fields than those of a configuration.

    Fields added since then count as their defaults. Files without the metadata entry are not checked.

    Raises:
        SavedFolderError: If a field differs.
    """
    stated = config.scoring_fields()
    for path in files:
        header, _ = read_header(path)
        trained = read_scoring_fields(path, header.get(METADATA) or {})
        if not trained:
            continue
        for name, value in {**defaults_of(config), **trained}.items():
            known = stated[name] if name in stated else value_of_retired(config, name, value)
            if known != value:
                raise SavedFolderError(
                    f"{path} was trained with {name}={value!r}, but its config.json says {known!r}. {REMEDY}"
                )


def defaults_of(config: Any) -> dict[str, Any]:
    """Return the defaults of the fields that affect scores."""
    return {field.name: default_of(field) for field in own_fields(config) if purpose_of(field) in SCORING}


def value_of_retired(config: Any, name: str, value: Any) -> Any:
    """Return a configuration's value of a field of version 0.1; for a field that nothing read, `value` itself."""
    if name == "is_causal":
        return config.is_causal
    return value if name in UNREAD else "nothing about it"


def read_scoring_fields(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    """Read the entry in the metadata; an empty dict if there is none."""
    try:
        fields = json.loads(metadata.get(ENTRY, "{}"))
    except (ValueError, RecursionError) as error:
        raise SavedFolderError(f"{path} cannot be read: its {ENTRY} is not JSON. Save the model again.") from error
    if not isinstance(fields, dict):
        raise SavedFolderError(f"{path} cannot be read: its {ENTRY} is not a JSON object. Save the model again.")
    return fields


def require_fitting_weights(
    model_class: type[PreTrainedModel], config: PreTrainedConfig, files: list[Path], *, same_shapes: bool = True
) -> None:
    """Raise a `SavedFolderError` unless saved weights fit a model of this configuration.

    Allocates nothing: sizes are first compared with the headers, then the model is built without storage.

    Args:
        model_class: Class of the model to load.
        config: Its configuration.
        files: The safetensors files.
        same_shapes: Whether a different shape is an error.
    """
    where = str(files[0]) if len(files) == 1 else f"{files[0]} (and {len(files) - 1} more)"
    stored = {name: tensor for path in files for name, tensor in read_tensors(path).items()}
    refuse_impossible_sizes(where, config, stored)
    expected = expected_tensors(where, model_class, config)
    prefix = f"{model_class.base_model_prefix}."
    if not any(name.startswith(prefix) for name in expected):  # a backbone, which may be saved within a head
        stored = {name.removeprefix(prefix): one for name, one in stored.items() if not name.startswith(OF_HEADS)}
    elif not any(name.startswith(prefix) for name in stored):  # a head whose backbone was saved alone
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
        raise SavedFolderError(f"{where} does not fit config.json: {misfits}. {REMEDY}")


def refuse_impossible_sizes(where: str, config: Any, stored: Mapping[str, StoredTensor]) -> None:
    """Raise a `SavedFolderError` if sizes imply more layers or weights than were saved."""
    num_weights = sum(tensor.size for tensor in stored.values())
    for name in SIZES:
        if getattr(config, name, 0) > num_weights:
            raise SavedFolderError(
                f"{where} does not fit config.json: {name} is {getattr(config, name)}, but all weights together have "
                f"only {num_weights} numbers. {REMEDY}"
            )
    if config.num_hidden_layers > len(stored):
        raise SavedFolderError(
            f"{where} does not fit config.json: num_hidden_layers is {config.num_hidden_layers}, but the weights have "
            f"only {len(stored)} tensors. {REMEDY}"
        )


def expected_tensors(where: str, model_class: type[PreTrainedModel], config: PreTrainedConfig) -> dict[str, Tensor]:
    """Return the tensors of a model of this configuration, without storage."""
    try:
        with torch.device("meta"):
            return model_class(copy.deepcopy(config)).state_dict()
    except (RuntimeError, OverflowError) as error:  # sizes overflow 64 bits
        raise SavedFolderError(f"{where} does not fit config.json: no model can be that large. {REMEDY}") from error


def refuse_other_dtypes(where: str, stored: Mapping[str, StoredTensor], expected: Mapping[str, Tensor]) -> None:
    """Raise a `SavedFolderError` for integer, boolean or complex weights, which would be read as zeros."""
    for name, tensor in stored.items():
        if tensor.dtype not in FLOATS and (name not in expected or expected[name].is_floating_point()):
            raise SavedFolderError(
                f"{where} holds {name} as {tensor.dtype}, but weights are floating-point numbers "
                f"({', '.join(FLOATS)}). Save the model again in one of these."
            )


def describe_misfits(found: Mapping[str, list[str]]) -> str:
    """Describe how many tensors do not fit the configuration, and the first of each kind; an empty string if none."""
    return ", ".join(f"{len(names)} tensors are {how} (first: {names[0]})" for how, names in found.items() if names)
