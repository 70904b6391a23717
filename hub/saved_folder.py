"""Open the parts of a saved model; errors say which part is broken and what to do."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin

from safetensors import SafetensorError
from transformers.utils import (
    ADAPTER_SAFE_WEIGHTS_NAME,
    ADAPTER_WEIGHTS_NAME,
    SAFE_WEIGHTS_INDEX_NAME,
    SAFE_WEIGHTS_NAME,
    WEIGHTS_INDEX_NAME,
    WEIGHTS_NAME,
    cached_file,
)

from seqrec.errors import InputError, SavedFolderError, SeqrecError
from seqrec.hub.json_objects import MEND, broken, read_json_object
from seqrec.hub.model_card import CURVE, ITEM_MAP, METRICS, RELIABILITY_PICTURE, SLICES_PICTURE
from seqrec.hub.saved_features import read_features
from seqrec.hub.weights_hash import belongs_to
from seqrec.interactions.catalogue import Catalogue
from seqrec.interactions.column_names import remembered_columns
from seqrec.interactions.data_arguments import DataArguments
from seqrec.interactions.hub_errors import explain
from seqrec.interactions.item_features import ITEM_FEATURES, ItemFeatures
from seqrec.interactions.locations import require_model_name
from seqrec.interactions.special_tokens import SPECIAL_TOKENS
from seqrec.interactions.tokenization_items import ItemTokenizer
from seqrec.modeling.modeling_auto import HEADS, MODEL_TYPES
from seqrec.modeling.modeling_next_item import NextItemHead
from seqrec.modeling.saved_items import ITEMS
from seqrec.modeling.saved_weights import find, find_weights

__all__ = [
    "SavedModel",
    "load_record",
    "load_saved",
    "read_protocol",
    "require_one_catalogue",
    "saved_columns",
    "saved_model_type",
    "saved_weights",
]

RECORD = (METRICS, CURVE, SLICES_PICTURE, RELIABILITY_PICTURE, ITEM_MAP)


def load_model(name: str, *, config_fields: Mapping[str, Any] | None = None, **kwargs: Any) -> NextItemHead:
    """Load a model whose weights are safetensors and fit its configuration exactly.

    Args:
        name: Folder, or repository on the Hub.
        config_fields: Configuration fields that override the saved ones.
        **kwargs: Where and how to look, as in `transformers`: `revision`, `token`, `cache_dir`, …

    Raises:
        InputError: If the name is a mistyped path.
        SavedFolderError: If `config.json` or the weights are missing, broken or not those of a seqrec model, or do not
            fit together; or if the weights are a pickle.
        NonFiniteError: If a weight is infinite or NaN.
        HubError: If the Hub refuses.
        HubConnectionError: If the Hub cannot be reached, or fails.
    """
    head_class = HEADS[saved_model_type(name, **kwargs)]
    weights_file = require_weights(name, **kwargs)
    try:
        return head_class.from_pretrained(name, **(config_fields or {}), **kwargs)
    except (SafetensorError, OSError, ImportError) as error:  # ImportError: attention is not installed
        raise broken(weights_file, f"cannot be read ({error})") from error


@dataclass(frozen=True)
class SavedModel:
    """A model, its vocabulary and its catalogue, all with the same items.

    Attributes:
        model: The model.
        tokenizer: Its vocabulary.
        items: Its catalogue.
        features: How a table of items becomes the features that the model reads; None if it reads none, or if they were
            not saved.
    """

    model: NextItemHead
    tokenizer: ItemTokenizer
    items: Catalogue
    features: ItemFeatures | None = None


def load_saved(name: str, *, config_fields: Mapping[str, Any] | None = None, **kwargs: Any) -> SavedModel:
    """Load a model with its vocabulary and catalogue; for arguments and other errors, see `load_model`.

    Raises:
        SavedFolderError: If a part is missing or broken, or the parts do not have the same items.
    """
    model = load_model(name, config_fields=config_fields, **kwargs)
    tokenizer, items = load_tokenizer(name, **kwargs), load_items(name, **kwargs)
    require_one_catalogue(model.config.vocab_size, tokenizer, items, error=SavedFolderError)
    model.set_item_counts(items.counts_by_token)
    return SavedModel(model, tokenizer, items, load_features(name, model.config.item_features, **kwargs))


def load_features(name: str, described: Mapping[str, Mapping[str, Any]], **kwargs: Any) -> ItemFeatures | None:
    """Load the item features of a model whose configuration describes some; None if they were not saved.

    Raises:
        SavedFolderError: If they are broken, or not those of the model.
    """
    path = find(name, ITEM_FEATURES, **kwargs) if described else None
    return None if path is None else read_features(path, described)


def load_tokenizer(name: str, **kwargs: Any) -> ItemTokenizer:
    """Load a model's vocabulary.

    Raises:
        SavedFolderError: If its files are missing or broken, or not those of an `ItemTokenizer`. For other errors, see
            `find_file`.
    """
    path = find_file(name, "tokenizer.json", **kwargs)
    read_json_object(find_file(name, "tokenizer_config.json", **kwargs))
    try:
        tokenizer = ItemTokenizer.from_pretrained(name, **kwargs)
    except Exception as error:  # tokenizers raises exceptions of any class, even plain `Exception`
        raise broken(path, f"cannot be read ({type(error).__name__}: {error})") from error
    special_ids = [tokenizer.pad_token_id, tokenizer.mask_token_id, tokenizer.unk_token_id]
    if special_ids != list(range(len(SPECIAL_TOKENS))):
        raise broken(path, f"does not begin with {', '.join(SPECIAL_TOKENS)}, so it is not that of an ItemTokenizer")
    return tokenizer


def load_items(name: str, **kwargs: Any) -> Catalogue:
    """Read a model's catalogue.

    Raises:
        SavedFolderError: If `items.parquet` is missing or broken, or lacks a column. For other errors, see `find_file`.
    """
    if Path(name).is_dir() and not Path(name, ITEMS).exists():
        raise SavedFolderError(
            f"{name!r} has no catalogue ({ITEMS}); `transformers.Trainer` saves none. Save the model with "
            "SequentialTrainer, or with Recommender(model, tokenizer, items).save_pretrained(folder)."
        )
    path = find_file(name, ITEMS, **kwargs)
    try:
        return Catalogue.load(path)
    except InputError as error:
        raise SavedFolderError(f"{error} {MEND}") from error


def load_record(name: str, **kwargs: Any) -> dict[str, bytes]:
    """Read a training's metrics and pictures, if they exist: file name → content.

    All are left out, with a warning, if they belong to other weights. Broken metrics are returned unchanged:
    recommending does not need them, and saving them raises an error.
    """
    paths = {file_name: find(name, file_name, **kwargs) for file_name in RECORD}
    metrics_path = paths[METRICS]
    if metrics_path is not None:
        with suppress(SavedFolderError):
            metrics = read_json_object(metrics_path)
            if not belongs_to(metrics, saved_weights(name, **kwargs), name):
                return {}
    return {file_name: path.read_bytes() for file_name, path in paths.items() if path is not None}


def saved_columns(name: str, **kwargs: Any) -> dict[str, str]:
    """Return the names of the columns of the table that a model was trained on, where they differ from ours.

    Missing or broken metrics name no columns.
    """
    path = find(name, METRICS, **kwargs)
    with suppress(SavedFolderError):
        return {} if path is None else remembered_columns(read_json_object(path).get("protocol"))
    return {}


def saved_weights(name: str, **kwargs: Any) -> list[Path]:
    """Find a model's weights, or else an adapter's; an empty list if there are none."""
    files = find_weights(name, **kwargs)
    adapter = None if files else find(name, ADAPTER_SAFE_WEIGHTS_NAME, **kwargs)
    return files if adapter is None else [adapter]


def require_one_catalogue(
    vocab_size: int, tokenizer: ItemTokenizer, items: Catalogue, *, error: type[SeqrecError] = InputError
) -> None:
    """Raise an error unless model, vocabulary and catalogue have the same items in the same order."""
    problem = None
    if not len(tokenizer) == vocab_size == items.vocab_size:
        problem = (
            f"the model (config.json) has {vocab_size} tokens, the tokenizer (tokenizer.json) {len(tokenizer)} "
            f"({tokenizer.num_items} of them items), and the catalogue (items.parquet) {len(items)} items"
        )
    elif items.item_ids != tokenizer.item_ids:
        pairs = zip(tokenizer.item_ids, items.item_ids, strict=True)
        differing = [f"{one!r} and {other!r}" for one, other in pairs if one != other]
        problem = (
            f"{len(differing)} of {len(items)} items differ between the tokenizer (tokenizer.json) and the catalogue "
            f"(items.parquet); the first are {differing[0]}"
        )
    if problem:
        raise error(f"Model, tokenizer and catalogue differ: {problem}. Take all three from one training.")


def read_protocol(name: str) -> dict[str, Any]:
    """Read from a model's `metrics.json` how its data were filtered and split.

    Returns:
        The protocol; empty if the file does not exist or belongs to other weights.

    Raises:
        InputError: If the name is a mistyped path.
        SavedFolderError: If the file is broken, or a data set cannot be prepared from it.
    """
    path = find(name, METRICS)
    if path is None:
        return {}
    mend = "Restore it, or remove it to filter and split as set by command-line flags."
    metrics = read_json_object(path, mend)
    protocol = metrics.get("protocol")
    if not isinstance(protocol, dict):
        raise broken(path, f"must hold a protocol, as written by `seqrec train`, but holds {protocol!r}", mend)
    for field in fields(DataArguments):
        if field.name in protocol and not is_of(protocol[field.name], field.type):
            raise broken(path, f"has the invalid {field.name} {protocol[field.name]!r} in its protocol", mend)
    if not isinstance(protocol.get("exclude_seen", True), bool):
        raise broken(path, f"has the invalid exclude_seen {protocol['exclude_seen']!r} in its protocol", mend)
    return protocol if belongs_to(metrics, saved_weights(name), name) else {}


def is_of(value: Any, kind: Any) -> bool:
    """Return whether a value read from JSON fits a field of this type."""
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if get_origin(kind) is UnionType:
        return any(is_of(value, one) for one in get_args(kind))
    if get_origin(kind) is list:
        return isinstance(value, list) and all(is_of(one, get_args(kind)[0]) for one in value)
    if isinstance(value, bool) != (kind is bool):
        return False
    return isinstance(value, int | float if kind is float else kind)


def saved_model_type(name: str, **kwargs: Any) -> str:
    """Read the `model_type` of a saved model.

    Raises:
        SavedFolderError: If its `config.json` is missing or broken, or does not describe a seqrec model. For other
            errors, see `find_file`.
    """
    path = find_file(name, "config.json", **kwargs)
    config = read_json_object(path)
    model_type = str(config.get("model_type"))
    if model_type not in MODEL_TYPES:
        known = ", ".join(sorted(MODEL_TYPES))
        mend = "Give a model of seqrec, or import the module that registers this one."
        raise broken(path, f"names the model_type {model_type!r}, but seqrec knows {known}", mend)
    try:
        MODEL_TYPES[model_type].from_dict(config)
    except (ValueError, TypeError) as error:
        raise broken(path, f"does not describe a {model_type} model ({error})") from error
    return model_type


def require_weights(name: str, **kwargs: Any) -> Path:
    """Find a model's weights, or their index, and make sure that none is a pickle, which could run any code."""
    if not find(name, ADAPTER_SAFE_WEIGHTS_NAME, **kwargs):  # otherwise peft loads no other file
        refuse_pickles(name, [ADAPTER_WEIGHTS_NAME] if find(name, ADAPTER_WEIGHTS_NAME, **kwargs) else [])
    path = find(name, SAFE_WEIGHTS_NAME, **kwargs)
    if path is not None:
        return path
    index = find(name, SAFE_WEIGHTS_INDEX_NAME, **kwargs)
    if index is not None:
        weight_map = read_json_object(index).get("weight_map")
        refuse_pickles(name, map(str, weight_map.values()) if isinstance(weight_map, dict) else [])
        return index
    refuse_pickles(name, [pickle for pickle in (WEIGHTS_NAME, WEIGHTS_INDEX_NAME) if find(name, pickle, **kwargs)])
    return find_file(name, SAFE_WEIGHTS_NAME, **kwargs)


def refuse_pickles(name: str, weight_files: Iterable[str]) -> None:
    """Raise a `SavedFolderError` for weights in any other format than safetensors."""
    pickles = sorted({file_name for file_name in weight_files if not file_name.endswith(".safetensors")})
    if pickles:
        raise SavedFolderError(
            f"{name!r} has weights in a pickle ({pickles[0]}), which can run any code when it is read, so seqrec never "
            "reads it. Ask its author for safetensors."
        )


def find_file(name: str, file_name: str, **kwargs: Any) -> Path:
    """Find a file that a model must have, in a folder or, by downloading it, on the Hub.

    Args:
        name: Folder, or repository.
        file_name: The file.
        **kwargs: `revision`, `token`, `cache_dir`, … as in `transformers`.

    Raises:
        InputError: If the name is a mistyped path.
        SavedFolderError: If the file does not exist.
        HubError: If the Hub refuses.
        HubConnectionError: If the Hub cannot be reached, or fails.
    """
    require_model_name(name)
    try:
        path, reason = cached_file(name, file_name, **kwargs), ""
    except OSError as error:
        path, reason = None, f" ({error})"
        trouble = explain(error, token=kwargs.get("token"))
        if trouble is not None:
            raise trouble.kind(
                f"{name!r} is not a folder here, and could not be loaded from the Hub: {trouble.reason}"
            ) from error
    if path is None:
        raise SavedFolderError(
            f"{name!r} is not a recommender that seqrec can load: {file_name} was not found there. "
            "Give a folder written by `seqrec train` or `Recommender.save_pretrained`, or a repository that "
            f"contains one.{reason}"
        )
    return Path(path)
