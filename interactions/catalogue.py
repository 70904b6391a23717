"""The catalogue: all items in token order, with their training counts, titles and further columns.

Shape suffixes: I items, H hidden items, V vocabulary.
"""

import hashlib
import io
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import ArrayLike

from seqrec.errors import InputError
from seqrec.interactions.category_features import find_separator, item_values
from seqrec.interactions.item_categories import ItemCategories
from seqrec.interactions.item_filters import find_items
from seqrec.interactions.item_rows import by_token, rows_of, token_ids_of
from seqrec.interactions.item_tables import read_items
from seqrec.interactions.one_line import one_line
from seqrec.interactions.raw_ids import read_ids
from seqrec.interactions.table_frames import take_frame
from seqrec.interactions.tokenization_items import ItemTokenizer

__all__ = ["Catalogue"]

KNOWN_CONDITIONS = 64  # conditions whose items are kept


class Catalogue:
    """The items of a vocabulary in the order of their token ids, without the special tokens. Immutable.

    Args:
        frame: One row per item: `item_id` (text), `count` (training interactions), optionally `title` (text, null for
            items without one) and `hidden` (bool, whether it is never recommended), and any other columns.

    Raises:
        InputError: If a column is missing, has the wrong type, or has missing values.
    """

    def __init__(self, frame: pl.DataFrame) -> None:
        if problem := what_is_wrong(frame):
            raise InputError(f"The catalogue {problem}. Give one row per item, in the order of the token ids.")
        self.frame = frame
        self.known_categories: dict[str, ItemCategories] = {}
        self.known_conditions: dict[str, np.ndarray] = {}

    @classmethod
    def of(cls, items: Any) -> "Catalogue":
        """Return a catalogue as it is, or make one from a polars, pandas or pyarrow table.

        Raises:
            InputError: If it is not a table, or not one of a catalogue.
        """
        return items if isinstance(items, Catalogue) else cls(take_frame(items, ("item_id", "count", "title")))

    @classmethod
    def from_interactions(cls, interactions: pl.DataFrame, tokenizer: ItemTokenizer, items: Any = None) -> Self:
        """Make the catalogue of a vocabulary, counting the items in interactions.

        Args:
            interactions: The training interactions.
            tokenizer: The vocabulary, which determines the order.
            items: A table with `item_id`, optionally `title`, and other columns; see `described_by`.
        """
        counts = interactions.group_by(pl.col("item_id").cast(pl.String)).agg(count=pl.len().cast(pl.Int64))
        frame = tokenizer.item_series.to_frame("item_id").join(counts, on="item_id", how="left", maintain_order="left")
        return cls.from_counts(frame["item_id"], frame["count"].fill_null(0), items)

    @classmethod
    def from_counts(cls, item_ids: pl.Series, counts: pl.Series, items: Any = None) -> Self:
        """Make a catalogue of items and their numbers of training interactions, Int64.

        Args:
            item_ids: The items in the order of their token ids.
            counts: Their numbers of training interactions.
            items: See `from_interactions`.
        """
        frame = item_ids.to_frame("item_id")
        if items is not None:
            frame = frame.join(described_by(items), on="item_id", how="left", maintain_order="left", validate="m:1")
        return cls(frame.with_columns(counts.rename("count")))

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a Parquet file.

        It is read by Arrow, column by column: polars would start threads, which processes forked later would lack.

        Raises:
            InputError: If the file cannot be read, or is not a catalogue.
        """
        try:
            table = pq.ParquetFile(path).read(use_threads=False).combine_chunks()
            table.validate(full=True)
            frame = pl.DataFrame([pl.Series(*column) for column in zip(table.column_names, table.columns, strict=True)])
        except (pa.ArrowException, pl.exceptions.PolarsError, OSError) as error:
            raise InputError(f"{path} cannot be read as a Parquet file ({one_line(error)}).") from error
        if problem := what_is_wrong(frame):
            raise InputError(f"{path} {problem}.")
        return cls(frame)

    def save(self, path: str | Path | io.BytesIO) -> None:
        """Write a Parquet file, without starting polars' threads."""
        columns = {column.name: column.to_arrow() for column in self.frame.get_columns()}
        pq.write_table(pa.table(columns), path, compression="zstd")

    def to_frame(self) -> pl.DataFrame:
        """Return the items as a table, one row per item, in the order of their token ids."""
        return self.frame

    def extend(self, items: Any) -> "Catalogue":
        """Return a catalogue with new items appended, whose counts are 0; known items keep their token ids.

        Args:
            items: New raw ids, or a table with `item_id`, optionally `title`, and other columns, of which those that
                the catalogue has are kept.

        Raises:
            InputError: If an id is already known, occurs twice, or is not a valid id.
        """
        new = read_items(items if hasattr(items, "columns") else pl.DataFrame({"item_id": read_ids(items)}))
        known = new["item_id"].filter(new["item_id"].is_in(self.frame["item_id"].implode()))
        if len(known):
            raise InputError(
                f"{len(known)} of {len(new)} items are already in the catalogue (first: '{known[0]}'). "
                "Leave them out to add the others."
            )
        new = new.with_columns(pl.lit(0, self.frame["count"].dtype).alias("count"), hidden=pl.lit(False))
        titled = self if "title" in self.frame.columns or "title" not in new.columns else self.with_empty_titles()
        own = [pl.col(name).cast(kind) for name, kind in titled.frame.schema.items() if name in new.columns]
        return Catalogue(pl.concat([titled.frame, new.select(own)], how="diagonal"))

    def with_empty_titles(self) -> "Catalogue":
        """Return this catalogue with a column of titles, in which no item has one."""
        return Catalogue(self.frame.with_columns(title=pl.lit(None, pl.String)))

    def with_descriptions_of(self, other: "Catalogue") -> "Catalogue":
        """Return this catalogue with missing titles and columns taken from another catalogue of the same items."""
        others = other.frame.drop(["count", "hidden"], strict=False)
        missing = [column for column in others.get_columns() if column.name not in self.frame.columns]
        if "title" in others.columns and "title" in self.frame.columns:
            missing.append(self.frame.select(pl.coalesce("title", others["title"]))["title"])
        return Catalogue(self.frame.with_columns(missing))

    def with_hidden(self, token_ids: ArrayLike) -> "Catalogue":
        """Return this catalogue with exactly these items hidden, without starting polars' threads."""
        is_hidden_I = np.isin(self.token_ids, token_ids)
        columns = [column for column in self.frame.get_columns() if column.name != "hidden"]
        return Catalogue(pl.DataFrame([*columns, *([pl.Series("hidden", is_hidden_I)] if is_hidden_I.any() else [])]))

    def with_hidden_of(self, other: "Catalogue") -> "Catalogue":
        """Return this catalogue with the items hidden that are hidden in another one."""
        ids = other.frame["item_id"].filter(pl.Series(other.is_hidden, dtype=pl.Boolean))
        return self.with_hidden(self.token_ids[self.frame["item_id"].is_in(ids.implode()).to_numpy()])

    def __len__(self) -> int:
        return len(self.frame)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Catalogue) and self.frame.equals(other.frame)

    __hash__ = None  # type: ignore[assignment]  # compared by its rows

    def __repr__(self) -> str:
        return f"Catalogue({len(self)} items: {', '.join(self.frame.columns)})"

    @property
    def vocab_size(self) -> int:
        """V, the number of token ids, including special tokens."""
        return token_ids_of(len(self))

    @cached_property
    def item_ids(self) -> list[str]:
        """Raw ids (I)."""
        return self.frame["item_id"].to_list()

    @cached_property
    def titles(self) -> list[str | None]:
        """Titles (I), None for items without one."""
        return self.frame["title"].to_list() if "title" in self.frame.columns else [None] * len(self)

    @cached_property
    def counts(self) -> np.ndarray:
        """Training interactions (I,), int64."""
        return self.frame["count"].to_numpy().astype(np.int64)

    @cached_property
    def is_hidden(self) -> np.ndarray:
        """Whether each item is hidden, that is, never recommended: bool, (I,)."""
        return self.frame["hidden"].to_numpy() if "hidden" in self.frame.columns else np.zeros(len(self), dtype=bool)

    @property
    def hidden_token_ids(self) -> np.ndarray:
        """Token ids of hidden items (H,), int64."""
        return self.token_ids[self.is_hidden]

    @cached_property
    def counts_by_token(self) -> np.ndarray:
        """Training interactions by token id (V,), 0 for special tokens."""
        return by_token(self.counts)

    @property
    def token_ids(self) -> np.ndarray:
        """Token ids (I,), int64."""
        return token_ids_of(np.arange(len(self)))

    @property
    def descriptions(self) -> list[str]:
        """Names of the columns that describe items, besides their titles."""
        return [name for name in self.frame.columns if name not in ("item_id", "count", "title", "hidden")]

    def categories(self, column: str) -> ItemCategories:
        """Return the values of a column as categories, such as genres: lists, or text with separators.

        They are kept, as requests ask for them again.

        Raises:
            InputError: If there is no such column, or it has no values or values that are no categories.
        """
        if column not in self.known_categories:
            self.known_categories[column] = self.read_categories(column)
        return self.known_categories[column]

    def read_categories(self, column: str) -> ItemCategories:
        """Read the categories of a column; see `categories`."""
        if column not in self.descriptions:
            have = ", ".join(self.descriptions) or "none but ids and titles"
            raise InputError(f"The items have no column {column!r}. They have: {have}.")
        pairs = item_values(column, self.frame[column], find_separator(self.frame[column]))
        if pairs.is_empty():
            raise InputError(f"No item has a value of {column}. Choose another column of the items.")
        counted = pairs.group_by("value").len().sort(["len", "value"], descending=[True, False])["value"]
        codes = pl.DataFrame({"value": counted, "code": np.arange(len(counted))})
        codes_E = pairs.join(codes, on="value", maintain_order="left")["code"].to_numpy()
        return ItemCategories.of_pairs(tuple(counted), token_ids_of(pairs["row"].to_numpy()), codes_E, self.vocab_size)

    def meeting(self, where: str) -> np.ndarray:
        """Return which items meet a condition, by token id (V,): bool, false for special tokens.

        The results of the latest conditions are kept, as requests ask for them again.

        Raises:
            InputError: See `find_items`.
        """
        found = self.known_conditions.get(where) if isinstance(where, str) else None
        if found is None:
            found = by_token(find_items(where, self.frame).to_numpy()).astype(bool)
            if len(self.known_conditions) >= KNOWN_CONDITIONS:
                self.known_conditions.pop(next(iter(self.known_conditions), ""), None)
            self.known_conditions[where] = found
        return found

    def sha256(self) -> str:
        """Return a hash of all columns, as 64 hexadecimal digits."""
        content = io.BytesIO()
        self.save(content)
        return hashlib.sha256(content.getvalue()).hexdigest()

    def row_of(self, token_id: int) -> int | None:
        """Return the row of a token id; None for a special token."""
        row = rows_of(token_id)
        return row if 0 <= row < len(self) else None

    def by_popularity(self) -> np.ndarray:
        """Return the token ids (I,) by decreasing count; ties are in the order of the token ids."""
        return token_ids_of(np.argsort(-self.counts, kind="stable"))


def described_by(items: pl.DataFrame) -> pl.DataFrame:
    """Return what a table says of items: `item_id`, `title` as text, and other columns.

    Vectors, which models read but people do not, and columns named like the catalogue's own are left out.
    """
    kept = [name for name, kind in items.schema.items() if name not in ("count", "hidden") and not is_vector(kind)]
    return items.select(kept).with_columns(pl.col("^(item_id|title)$").cast(pl.String))


def is_vector(kind: pl.DataType) -> bool:
    """Return whether values of a type are lists of numbers that are not integers, or can be anything."""
    return isinstance(kind, pl.Object) or (isinstance(kind, pl.List | pl.Array) and kind.inner.is_float())


def what_is_wrong(frame: pl.DataFrame) -> str | None:
    """Return why a table is not a catalogue, phrased to follow its name; None if it is one."""
    schema = frame.schema
    if not (schema.get("item_id") == pl.String and schema.get("count", pl.Null).is_integer()):
        return f"must hold item_id (text) and count (integers), but holds {dict(schema)}"
    if frame["item_id"].null_count() + frame["count"].null_count():
        return "has rows without an item_id or a count"
    if schema.get("title", pl.String) != pl.String:
        return f"must hold titles as text, but holds {schema['title']}"
    if schema.get("hidden", pl.Boolean) != pl.Boolean or ("hidden" in schema and frame["hidden"].null_count()):
        return f"must hold true or false in the column hidden, but holds {schema['hidden']} or missing values"
    return None
