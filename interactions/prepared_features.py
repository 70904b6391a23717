"""The item features of a prepared set: `item_features.json`, and their values in `item_features.safetensors`."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save

from seqrec.errors import SavedFolderError
from seqrec.interactions.item_features import ITEM_FEATURES, ItemFeatures

__all__ = ["FEATURE_FILES", "load_features", "save_features"]

VALUES = "item_features.safetensors"
FEATURE_FILES = (ITEM_FEATURES, VALUES)


def save_features(folder: Path, features: ItemFeatures | None, values: Mapping[str, np.ndarray]) -> None:
    """Write both files into a folder, if there are features."""
    if features is not None:
        features.save(folder)
        (folder / VALUES).write_bytes(save({name: np.ascontiguousarray(values[name]) for name in features.names}))


def load_features(folder: Path, num_items: int) -> tuple[ItemFeatures | None, dict[str, np.ndarray]]:
    """Read both files; None and no values if there are none.

    Raises:
        SavedFolderError: If only one of them exists, or they do not fit each other or the number of items.
        InputError: If the features cannot be read.
    """
    found = [file for file in FEATURE_FILES if (folder / file).exists()]
    if not found:
        return None, {}
    if len(found) < len(FEATURE_FILES):
        raise SavedFolderError(f"It holds {found[0]} without {' or '.join(set(FEATURE_FILES) - set(found))}.")
    features = ItemFeatures.load(folder)
    stored = load_file(folder / VALUES)
    if set(stored) != set(features.names):
        raise SavedFolderError(
            f"{VALUES} holds {', '.join(sorted(stored))}, but {ITEM_FEATURES} {', '.join(features.names)}."
        )
    values = {name: stored[name] for name in features.names}
    features.require_values(values, num_items)
    return features, values
