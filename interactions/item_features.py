"""Item features: the columns of a table of items that a model reads, as numbers.

Shape suffix: I items of a catalogue, in the order of their token ids, without special tokens.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from seqrec.errors import InputError
from seqrec.interactions.category_features import CategoryFeature
from seqrec.interactions.item_feature_kinds import infer_kind
from seqrec.interactions.item_feature_requests import FeatureRequest, entries_of, read_requests, require_columns
from seqrec.interactions.item_feature_spec import FeatureSpec
from seqrec.interactions.item_texts import DEFAULT_TEXT_MODEL
from seqrec.interactions.number_features import NumberFeature
from seqrec.interactions.one_line import one_line
from seqrec.interactions.plain_features import ITEM_FEATURES
from seqrec.interactions.vector_features import TextFeature, VectorFeature
from seqrec.interactions.whole_files import write_text_whole

__all__ = ["ITEM_FEATURES", "ItemFeatures"]

KINDS: dict[str, Any] = {spec.kind: spec for spec in (CategoryFeature, NumberFeature, VectorFeature, TextFeature)}


@dataclass(frozen=True)
class ItemFeatures:
    """The features of a catalogue's items, in the order in which a model sums them.

    Their values in a catalogue are a mapping from a feature's name to an array whose rows are the items in the order of
    their token ids:

    - `category`: codes, int32 (I, most values of one item): 0 no further value, 1 missing, 2 unknown, from 3 on the
      values of the list.
    - `number`: standardised, float32 (I,); NaN if missing.
    - `vector`, `text`: float32 (I, width); a row of NaN if missing.

    Attributes:
        specs: The features.
    """

    specs: tuple[FeatureSpec, ...]

    @classmethod
    def fit(
        cls,
        table: pl.DataFrame,
        wanted: str | Sequence[str],
        *,
        is_trained: np.ndarray | None = None,
        text_model: str | None = None,
        earlier: "ItemFeatures | None" = None,
    ) -> "ItemFeatures":
        """Choose kinds, list the values of categories, and measure numbers.

        Args:
            table: The items of the catalogue, with `item_id` and the columns, in any order.
            wanted: Names of columns, in a list or separated by commas; `name:kind` decides the kind. `name=FILE` stands
                for a matrix, which `with_matrices` has added to the table.
            is_trained: Which items have training interactions, bool (I,); the values of the others are not counted.
                None: all.
            text_model: Id or folder of the sentence-transformers model for texts; None:
                sentence-transformers/all-MiniLM-L6-v2.
            earlier: The features of another catalogue. Those of the same name and kind are read as there: numbers are
                standardised and texts encoded in the same way, and known values of categories keep their codes.

        Raises:
            InputError: If a column does not exist or cannot be used as its kind.
        """
        requests = read_requests(wanted, table.columns)
        require_columns(requests, table)
        is_trained_I = np.ones(len(table), dtype=bool) if is_trained is None else is_trained
        model = text_model or DEFAULT_TEXT_MODEL
        known = {} if earlier is None else {spec.name: moved(spec, text_model) for spec in earlier.specs}
        specs = tuple(fit_one(request, table, is_trained_I, model, known.get(request.name)) for request in requests)
        if text_model is not None and not any(isinstance(spec, TextFeature) for spec in specs):
            raise InputError(
                f"item_text_model='{text_model}' has no effect: no item feature is a text. Leave it out, or choose "
                "NAME:text."
            )
        return cls(specs)

    def values(self, table: pl.DataFrame, *, text_model: str | None = None) -> dict[str, np.ndarray]:
        """Return the values of items.

        Args:
            table: The items, in the order of the result, with `item_id` and the columns of all features.
                `rows_of_items` puts a table into the order of a catalogue.
            text_model: Where the model for texts is, if not where it was when `fit` was called.

        Raises:
            InputError: If the table lacks a column, or a column cannot be read as its kind.
        """
        missing = [name for name in self.names if name not in table.columns]
        if missing:
            raise InputError(
                f"The items have no column {missing[0]}, which the model reads ({', '.join(self.names)}). Add it; "
                "leave it empty where the value is unknown."
            )
        ids = table["item_id"]
        return {spec.name: moved(spec, text_model).values(table[spec.name], ids) for spec in self.specs}

    def report(self, values: Mapping[str, np.ndarray]) -> list[str]:
        """Return a line per feature, such as `genres: category, 18 values, 1–6 per item, missing for 3 of 9 items`."""
        return [spec.report(values[spec.name]) for spec in self.specs]

    def is_missing(self, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return which items lack which feature: name → bool (I,)."""
        return {spec.name: spec.is_missing(values[spec.name]) for spec in self.specs}

    def require_values(self, values: Mapping[str, np.ndarray], num_items: int) -> None:
        """Refuse arrays that are not the values of these features for so many items.

        Raises:
            InputError: If one is missing, or has another shape or type, or codes out of range.
        """
        for spec in self.specs:
            held = values.get(spec.name)
            if held is None or len(held) != num_items or not spec.fits(held):
                shown = "none" if held is None else f"{held.dtype} of shape {held.shape}"
                raise InputError(
                    f"Expected values of the item feature {spec.name} ({spec.kind}) for {num_items:,} items, but got "
                    f"{shown}. Compute them with these features."
                )

    def kinds_of(self, wanted: str) -> str:
        """Add the kinds of these features to a list of wanted ones, separated by commas, that leaves them open."""
        kinds = {spec.name: spec.kind for spec in self.specs}
        return ",".join(f"{entry}:{kinds[entry]}" if entry in kinds else entry for entry in entries_of(wanted))

    @property
    def wanted(self) -> list[str]:
        """The features as `name:kind`, so that `read_items` reads another table in the same way."""
        return [f"{spec.name}:{spec.kind}" for spec in self.specs]

    @property
    def names(self) -> list[str]:
        """The names of the features, which are columns of the table of items."""
        return [spec.name for spec in self.specs]

    def config_entry(self) -> dict[str, dict[str, Any]]:
        """Return the value of a model configuration's `item_features`."""
        return {spec.name: spec.config_entry() for spec in self.specs}

    def to_json(self) -> str:
        """Return the features as text, for `from_json`."""
        return json.dumps({"item_features": [spec.to_dict() for spec in self.specs]}, indent=2, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> "ItemFeatures":
        """Read what `to_json` returned.

        Raises:
            InputError: If it is not that.
        """
        try:
            entries = json.loads(text)["item_features"]
            return cls(tuple(read_entry(entry) for entry in entries))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(f"{ITEM_FEATURES} does not hold item features ({one_line(repr(error))}).") from error

    def save(self, folder: str | Path) -> None:
        """Write `item_features.json` into a folder."""
        write_text_whole(Path(folder) / ITEM_FEATURES, self.to_json() + "\n")

    @classmethod
    def load(cls, folder: str | Path) -> "ItemFeatures":
        """Read `item_features.json` in a folder.

        Raises:
            InputError: If it cannot be read.
        """
        path = Path(folder) / ITEM_FEATURES
        try:
            return cls.from_json(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"'{path}' cannot be read: {one_line(error)}.") from error


def fit_one(
    request: FeatureRequest,
    table: pl.DataFrame,
    is_trained_I: np.ndarray,
    model: str,
    earlier: FeatureSpec | None = None,
) -> FeatureSpec:
    """Fit one feature, as an earlier one of the same name and kind if there is one."""
    name, column, ids = request.name, table[request.name], table["item_id"]
    kind = request.kind or (infer_kind(name, column) if earlier is None else earlier.kind)
    if earlier is not None and earlier.kind == kind:
        return earlier.refit(column, ids, is_trained_I)
    if kind == "category":
        return CategoryFeature.fit(name, column, is_trained_I)
    if kind == "number":
        return NumberFeature.fit(name, column, ids, is_trained_I)
    if kind == "vector":
        return VectorFeature.fit(name, column, ids)
    return TextFeature.fit_text(name, column, model)


def moved(spec: FeatureSpec, text_model: str | None) -> FeatureSpec:
    """Return a feature whose text model is elsewhere, if it has one."""
    return replace(spec, location=text_model) if text_model and isinstance(spec, TextFeature) else spec


def read_entry(entry: Mapping[str, Any]) -> FeatureSpec:
    """Read one feature from JSON."""
    fields: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in entry.items()}
    kind = KINDS[fields.pop("kind")]
    return kind(**fields, location=fields["model"]) if kind is TextFeature else kind(**fields)
