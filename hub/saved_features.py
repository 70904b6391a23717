"""Read the item features that are saved next to a model."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seqrec.errors import InputError, SavedFolderError
from seqrec.hub.json_objects import MEND, broken
from seqrec.interactions.item_features import ITEM_FEATURES, ItemFeatures
from seqrec.modeling.saved_items import find_items

__all__ = ["features_next_to", "read_features"]


def features_next_to(model: Any) -> ItemFeatures | None:
    """Read the item features that are saved where a model was loaded from; None if it reads none, or has no such file.

    Raises:
        SavedFolderError: See `read_features`.
    """
    described = model.config.item_features
    path = find_items(model, ITEM_FEATURES) if described else None
    return None if path is None else read_features(Path(path), described)


def read_features(path: Path, described: Mapping[str, Mapping[str, Any]]) -> ItemFeatures:
    """Read an `item_features.json`.

    Args:
        path: The file.
        described: The features in the model's configuration (`item_features`).

    Raises:
        SavedFolderError: If it cannot be read, or its features are not those of the model.
    """
    try:
        features = ItemFeatures.from_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise broken(path, f"cannot be read ({error})") from error
    except InputError as error:
        raise SavedFolderError(f"{path}: {error} {MEND}") from error
    if features.config_entry() != described:
        names = ", ".join(features.names) or "none"
        raise broken(
            path, f"does not describe the item features of config.json: {names} instead of {', '.join(described)}"
        )
    return features
