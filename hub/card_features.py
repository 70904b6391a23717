"""The table of item features in a model card: what each holds, and how many items have it.

Shape suffixes: I items, F width of a feature's values.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import safe_open

from seqrec.hub.card_tables import table
from seqrec.hub.card_values import mapping
from seqrec.hub.markdown import code, text
from seqrec.hub.saved_features import read_features
from seqrec.hub.weights_hash import weight_files
from seqrec.interactions.item_features import ITEM_FEATURES, ItemFeatures
from seqrec.interactions.item_rows import by_row
from seqrec.modeling.weight_files import read_tensors

__all__ = ["features_table"]

VALUES = "item_embedding.features.{}.values_VF"  # end of the name of a feature's values in the weights


def features_table(folder: Path, config: Mapping[str, Any]) -> str:
    """Describe the features of a saved model's items; an empty text if it reads none, or they were not saved.

    Args:
        folder: The model's folder.
        config: The content of its `config.json`.

    Raises:
        SavedFolderError: If the features or the weights are broken.
    """
    described = mapping(config.get("item_features"))
    if not described or not (folder / ITEM_FEATURES).is_file():
        return ""
    features = read_features(folder / ITEM_FEATURES, described)
    values = saved_values(weight_files(folder), features)
    missing = features.is_missing(values) if values else {}
    return table(
        ["Item feature", "Kind", "Values", "Items that have it"],
        [
            [
                code(spec.name),
                spec.kind,
                text(spec.describe(values[spec.name])) if values else "",
                f"{(~missing[spec.name]).sum():,} of {len(missing[spec.name]):,}" if values else "",
            ]
            for spec in features.specs
        ],
        alignment="---",
    )


def saved_values(files: Sequence[Path], features: ItemFeatures) -> dict[str, np.ndarray]:
    """Read the values of features from a model's weights; empty if these do not hold them, as those of an adapter."""
    names = {name: file for file in files for name in read_tensors(file)}
    found = {}
    for place, name in enumerate(sorted(features.names)):  # as models order their parts
        key = next((key for key in names if key.endswith(VALUES.format(place))), None)
        if key is None:
            return {}
        with safe_open(names[key], framework="pt") as weights:
            rows_VF = weights.get_tensor(key)
        kind = features.config_entry()[name]["kind"]
        found[name] = as_given(kind, by_row(rows_VF.float() if rows_VF.is_floating_point() else rows_VF).numpy())
    return found


def as_given(kind: str, rows_IF: np.ndarray) -> np.ndarray:
    """Turn the rows that `FeaturePart.as_rows` makes of values back into these; vectors are scaled to length 1."""
    if kind == "category":
        return rows_IF
    columns_IF, is_missing_I = (
        (rows_IF[:, :1], rows_IF[:, 2]) if kind == "number" else (rows_IF[:, :-1], rows_IF[:, -1])
    )
    values_IF = np.where(is_missing_I[:, None] > 0, np.float32(np.nan), columns_IF)
    return values_IF[:, 0] if kind == "number" else values_IF
