"""Prepared sets: sequences, vocabulary and catalogue in one folder, or in one repository of the Hub.

The folder holds a Parquet file of each part (`input_ids`, `timestamps`, and `target` where held out), `items.parquet`,
the tokenizer, and `protocol.json`, which says how they came about. User ids stay behind: nothing needs them any more.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from datasets import Dataset, DatasetDict
from datasets.exceptions import DatasetsError
from huggingface_hub import DatasetCard, DatasetCardData, hf_hub_download, snapshot_download
from huggingface_hub.errors import EntryNotFoundError, HFValidationError

from seqrec.data.tokenization_items import ItemTokenizer

PARTS = ("train", "validation", "test")
PROTOCOL, ITEMS = "protocol.json", "items.parquet"
CARD = """---
{{ card_data }}
---

# {{ name }}

Histories of {{ users }} users over {{ items }} items, from the interactions of `{{ dataset }}`, prepared for sequential
recommenders by **seqrec**: `{{ split_method }}` split, SHA-256 `{{ split_sha256 }}`. Users have no ids.

```bash
seqrec train --dataset {{ name }} --output_dir runs/model
```

`input_ids` are token ids, oldest first; `items.parquet` tells the items' own ids in token order, from 3 on, and
`protocol.json` how the data were filtered and split.
"""


@dataclass(frozen=True)
class PreparedData:
    """Sequences ready for training and evaluation, their vocabulary, and how they came about."""

    sequences: DatasetDict
    tokenizer: ItemTokenizer
    items: pl.DataFrame
    protocol: dict[str, Any]

    def save(self, folder: str | Path, *, name: str | None = None) -> None:
        """Write a prepared set.

        Args:
            folder: Where; made if it is not there.
            name: What its card calls it, such as the repository it will be in; the folder's name if None.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for part in PARTS:
            rows = self.sequences[part]
            columns = [column for column in rows.column_names if column != "user_id"]
            rows.select_columns(columns).to_parquet(folder / f"{part}.parquet")
        self.items.write_parquet(folder / ITEMS)
        self.tokenizer.save_pretrained(folder)
        (folder / PROTOCOL).write_text(json.dumps(self.protocol, indent=2) + "\n", encoding="utf-8")
        describe(self.protocol, name or folder.resolve().name).save(folder / "README.md")

    @classmethod
    def load(cls, folder: str | Path) -> "PreparedData":
        """Read what `save` wrote.

        Raises:
            ValueError: If a file is missing or cannot be read.
        """
        folder = Path(folder)
        try:
            return cls(
                DatasetDict({part: Dataset.from_parquet(str(folder / f"{part}.parquet")) for part in PARTS}),
                ItemTokenizer.from_pretrained(folder),
                pl.read_parquet(folder / ITEMS),
                json.loads((folder / PROTOCOL).read_text(encoding="utf-8")),
            )
        except (OSError, ValueError, DatasetsError, pl.exceptions.PolarsError) as error:
            raise ValueError(f"The prepared set in {folder} cannot be read; prepare it anew. {error}") from error


def describe(protocol: Mapping[str, Any], name: str) -> DatasetCard:
    """Make a prepared set's card; its metadata tells `datasets` which files are which split.

    Training and held-out rows differ in their columns, and so are two configurations.
    """
    parts = {"train": PARTS[:1], "held_out": PARTS[1:]}
    return DatasetCard.from_template(
        DatasetCardData(
            tags=["sequential-recommendation", "seqrec"],
            configs=[
                {"config_name": name, "data_files": [{"split": part, "path": f"{part}.parquet"} for part in own]}
                for name, own in parts.items()
            ],
        ),
        template_str=CARD,
        name=name,
        users=f"{protocol['num_users']:,}",
        items=f"{protocol['num_items']:,}",
        dataset=protocol["dataset"],
        split_method=protocol["split_method"],
        split_sha256=protocol["split_sha256"],
    )


def find_prepared(dataset: str | Path) -> Path | None:
    """Return the folder of a prepared set, fetched if it is on the Hub; None if this names no prepared set."""
    folder = Path(dataset).expanduser()
    if folder.exists():
        return folder if (folder / PROTOCOL).is_file() else None
    if str(dataset).count("/") != 1:
        return None
    try:
        hf_hub_download(str(dataset), PROTOCOL, repo_type="dataset")
    except (EntryNotFoundError, HFValidationError, OSError):
        return None  # whoever loads it as a table of interactions says what is wrong with it
    return Path(snapshot_download(str(dataset), repo_type="dataset"))
