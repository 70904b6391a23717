"""Which interactions to use, and how to filter and split them."""

from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from seqrec.errors import InputError
from seqrec.interactions.column_names import KNOWN_COLUMNS
from seqrec.interactions.derived_labels import derivation_texts

__all__ = ["COLUMN_FIELDS", "HELD_OUT", "SPLIT_FIELDS", "WHERE", "DataArguments"]

HELD_OUT = ("validation", "test")
COLUMN_FIELDS = {name: f"{name}_column" for name in KNOWN_COLUMNS}  # our columns, and the fields of their names
WHERE = {"dataset", "items", "item_features", "item_text_model", *COLUMN_FIELDS.values(), "streaming"}
SPLIT_FIELDS: dict[str, set[str]] = {
    "leave_one_out": {"validation_users"},
    "temporal": {"validation_fraction", "test_fraction"},
    "official": set(),
}


@dataclass
class DataArguments:
    """Which interactions to use, and how to filter and split them.

    Raises:
        InputError: If `split_method` is unknown, a field is set that the chosen split does not use, a minimum is below
            1, or a label cannot be derived as `derive` says.
    """

    dataset: str | None = field(
        default=None,
        metadata={
            "help": "ml-100k, synthetic, a public set (ml-20m, yambda-50m, amazon-2023:Video_Games, …), a file (CSV, "
            "TSV, Parquet, JSONL), a folder with interactions.* and optionally items.*, or with parts of one table, a "
            "data set on the Hub (org/name), or the output of `seqrec prepare`."
        },
    )
    items: str | None = field(default=None, metadata={"help": "File with item_id, title and other columns."})
    item_features: str | None = field(
        default=None,
        metadata={
            "help": "Columns of the items that the model reads in addition to ids, such as genres,year,title. Kinds "
            "are inferred; NAME:KIND decides (category, number, vector, text). NAME=FILE reads a matrix (.npy, "
            ".safetensors) with a row for each row of the table."
        },
    )
    item_text_model: str | None = field(
        default=None,
        metadata={
            "help": "Id or folder of the sentence-transformers model that reads texts of items (default: "
            "sentence-transformers/all-MiniLM-L6-v2)."
        },
    )
    user_id_column: str | None = field(
        default=None, metadata={"help": "Column of the user ids (default: as in the model's training, or user_id)."}
    )
    item_id_column: str | None = field(
        default=None, metadata={"help": "Column of the item ids (default: as in the model's training, or item_id)."}
    )
    timestamp_column: str | None = field(
        default=None,
        metadata={"help": "Column of the timestamps (default: as in the model's training, or timestamp)."},
    )
    rating_column: str | None = field(
        default=None, metadata={"help": "Column of the ratings (default: as in the model's training, or rating)."}
    )
    click_column: str | None = field(
        default=None, metadata={"help": "Column of the clicks (default: as in the model's training, or click)."}
    )
    derive: list[str] | None = field(
        default=None,
        metadata={
            "help": "Binary labels to derive from columns of numbers, for tasks: NAME=COLUMN OP NUMBER with one of >=, "
            ">, <=, <, ==, such as 'like=rating>=4'. Missing values stay missing."
        },
    )
    streaming: bool = field(default=False, metadata={"help": "Stream a data set from the Hub, without a copy on disk."})
    split_method: Literal["leave_one_out", "temporal", "official"] = field(
        default="leave_one_out",
        metadata={
            "help": "leave_one_out: test on each user's last item. temporal: test on the latest interactions. "
            "official: by the cut-off times published with the data set (yambda-…, amazon-2023:…)."
        },
    )
    validation_users: int | None = field(
        default=None,
        metadata={
            "help": "Number of users whose second-to-last item is for validation; the other users' stays in training "
            "(leave_one_out)."
        },
    )
    validation_fraction: float = field(
        default=0.1, metadata={"help": "Fraction of the interactions for validation (temporal)."}
    )
    test_fraction: float = field(default=0.1, metadata={"help": "Fraction of the interactions for test (temporal)."})
    min_user_interactions: int = field(default=1, metadata={"help": "k-core filter: drop users with fewer."})
    min_item_interactions: int = field(default=1, metadata={"help": "k-core filter: drop items with fewer."})
    duplicates: Literal["keep", "first", "last"] = field(
        default="keep", metadata={"help": "If a user repeats an item, keep all interactions, the first or the last."}
    )

    def __post_init__(self) -> None:
        self.derive = derivation_texts(self.derive)
        if self.split_method not in SPLIT_FIELDS:
            raise InputError(f"split_method is {self.split_method!r}. Choose one of: {', '.join(SPLIT_FIELDS)}.")
        for name in ("min_user_interactions", "min_item_interactions"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}={getattr(self, name)} must be at least 1.")
        for field_ in fields(self):
            value = getattr(self, field_.name)
            if field_.name in self.fields_of_other_splits() and value != field_.default:
                raise InputError(
                    f"{field_.name}={value} has no effect in the {self.split_method} split. Leave it out, or choose "
                    "another split_method."
                )

    def fields_of_other_splits(self) -> set[str]:
        """Return the names of the fields that the chosen split does not use."""
        return set().union(*SPLIT_FIELDS.values()) - SPLIT_FIELDS[self.split_method]

    @property
    def columns(self) -> dict[str, str]:
        """The names given for the table's columns: our name → the table's."""
        given = {name: getattr(self, flag) for name, flag in COLUMN_FIELDS.items()}
        return {name: own for name, own in given.items() if own is not None}

    def protocol(self) -> dict[str, Any]:
        """Return the settings that determine the split, for `metrics.json`, without the location of the data."""
        left_out = WHERE | self.fields_of_other_splits()
        return {name: value for name, value in asdict(self).items() if name not in left_out and value is not None}
