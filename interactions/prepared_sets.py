"""Prepared sets: sequences, vocabulary and catalogue in one folder, or in one repository on the Hub.

The folder holds the events of all histories (`histories.parquet`), one Parquet file per part, whose rows are views on
these events, `items.parquet`, the tokenizer, `protocol.json`, which records how the data were made, and the features of
the items, if there are any. Large sets have several shards of the first four; see `history_files`. User ids are left
out, as they are no longer needed.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub import DatasetCard, DatasetCardData, hf_hub_download, snapshot_download
from huggingface_hub.errors import EntryNotFoundError, HFValidationError

from seqrec.errors import SavedFolderError
from seqrec.interactions.catalogue import Catalogue
from seqrec.interactions.histories import Histories
from seqrec.interactions.history_files import (
    HISTORIES,
    IMPRESSION_FILES,
    PART_FILES,
    read_sequences,
    shards_of,
    write_sequences,
)
from seqrec.interactions.hub_errors import explained
from seqrec.interactions.item_features import ItemFeatures
from seqrec.interactions.label_columns import label_names
from seqrec.interactions.label_names import target_key
from seqrec.interactions.locations import is_hub_name
from seqrec.interactions.one_line import one_line
from seqrec.interactions.prepared_checks import require_catalogue, require_protocol
from seqrec.interactions.prepared_features import FEATURE_FILES, load_features, save_features
from seqrec.interactions.splitting import PARTS
from seqrec.interactions.tokenization_items import ItemTokenizer
from seqrec.interactions.whole_files import whole_folder

__all__ = ["PREPARED_FILES", "PreparedData", "find_prepared", "prepared_files"]

PROTOCOL, ITEMS, CARD_NAME = "protocol.json", "items.parquet", "README.md"
TOKENIZER = ("tokenizer.json", "tokenizer_config.json")
OPTIONAL_FILES = (*FEATURE_FILES, *IMPRESSION_FILES)
PREPARED_FILES = (HISTORIES, *PART_FILES, ITEMS, *TOKENIZER, PROTOCOL, CARD_NAME, *OPTIONAL_FILES)
SHARDS = "*-[0-9]*-of-[0-9]*.parquet"  # of a large set
CARD = """---
{{ card_data }}
---

# {{ name }}

Histories of {{ users }} users over {{ items }} items{{ source }}, prepared for sequential recommenders by **seqrec**:
`{{ split_method }}` split, SHA-256 `{{ split_sha256 }}`. User ids are left out.

```bash
seqrec train --dataset {{ name }} --output_dir runs/model
```

Each row of `histories.parquet` holds one user's events, oldest first; `input_ids` are token ids. Each row of a part
stands for the first `length` events of row number `history`, counted from 0. Held-out rows also have the item that came
next (`target`) and its time (`target_timestamp`). `items.parquet` lists the original item ids in the order of their
token ids, starting at 3, and `protocol.json` says how the data were filtered and
split.{{ shards }}{{ features }}{{ labels }}
"""


@dataclass(frozen=True)
class PreparedData:
    """Sequences ready for training and evaluation, their vocabulary and catalogue, and how they were made.

    Attributes:
        sequences: The rows of each part: "train", "validation" and "test".
        tokenizer: The vocabulary.
        items: The catalogue.
        protocol: How the data were filtered and split.
        features: The features of the items; None for items that are ids alone.
        feature_values: Their values for the items of the catalogue; see `ItemFeatures`.
    """

    sequences: dict[str, Histories]
    tokenizer: ItemTokenizer
    items: Catalogue
    protocol: dict[str, Any]
    features: ItemFeatures | None = None
    feature_values: dict[str, np.ndarray] = field(default_factory=dict)

    def save(self, folder: str | Path, *, name: str | None = None) -> None:
        """Write a prepared set atomically: complete or not at all.

        Args:
            folder: A new or empty folder.
            name: Its name on the card, such as the repository it will be in; the folder's name if None.

        Raises:
            InputError: If the folder is not empty, or cannot be written.
        """
        with self.saving(folder, name=name) as part_folder:
            write_sequences(self.sequences, part_folder)

    @contextmanager
    def saving(self, folder: str | Path, *, name: str | None = None, num_shards: int = 1) -> Iterator[Path]:
        """Write all of a prepared set but its sequences, which the block writes into the folder that it receives.

        Args:
            folder: As in `save`.
            name: As in `save`.
            num_shards: Number of shards of the sequences.

        Raises:
            InputError: See `save`.
        """
        with whole_folder(folder, last=PROTOCOL) as part_folder:
            self.items.save(part_folder / ITEMS)
            save_features(part_folder, self.features, self.feature_values)
            self.tokenizer.save_pretrained(part_folder)
            protocol = json.dumps(self.protocol, indent=2) + "\n"
            (part_folder / PROTOCOL).write_text(protocol, encoding="utf-8")
            describe(self, name or Path(folder).resolve().name, num_shards).save(part_folder / CARD_NAME)
            yield part_folder

    @classmethod
    def load(cls, folder: str | Path) -> "PreparedData":
        """Load a prepared set that `save` wrote.

        Raises:
            SavedFolderError: If a file is missing, cannot be read, or does not fit the others.
        """
        folder = Path(folder)
        try:
            tokenizer = ItemTokenizer.from_pretrained(folder)
            items = Catalogue.load(folder / ITEMS)
            protocol = json.loads((folder / PROTOCOL).read_text(encoding="utf-8"))
            require_protocol(protocol)
            require_catalogue(items, tokenizer)
            sequences = read_sequences(folder, len(tokenizer))
            features, feature_values = load_features(folder, len(items))
        except Exception as error:  # a damaged file can raise anything
            raise SavedFolderError(
                f"The prepared set in {folder} cannot be read; prepare it again. {one_line(error)}"
            ) from error
        return cls(sequences, tokenizer, items, protocol, features, feature_values)


def describe(data: PreparedData, name: str, num_shards: int = 1) -> DatasetCard:
    """Make the card of a prepared set; its metadata maps files to splits for `datasets`.

    Files with different columns belong to different configurations.
    """
    protocol = data.protocol
    files = {
        "histories": {"histories": HISTORIES},
        "train": {"train": PART_FILES[0]},
        "held_out": dict(zip(PARTS[1:], PART_FILES[1:], strict=True)),
    }
    if data.sequences["train"].impressions is not None:
        files["train_impressions"] = {"train": IMPRESSION_FILES[0]}
        files["held_out_impressions"] = dict(zip(PARTS[1:], IMPRESSION_FILES[1:], strict=True))
    return DatasetCard.from_template(
        DatasetCardData(
            tags=["sequential-recommendation", "seqrec"],
            configs=[
                {
                    "config_name": name,
                    "data_files": [{"split": part, "path": pattern(file, num_shards)} for part, file in own.items()],
                }
                for name, own in files.items()
            ],
        ),
        template_str=CARD,
        name=plain(name),
        users=f"{protocol['num_users']:,}",
        items=f"{protocol['num_items']:,}",
        source=f", from the interactions of `{plain(protocol['dataset'])}`" if "dataset" in protocol else "",
        split_method=protocol["split_method"],
        split_sha256=protocol["split_sha256"],
        shards="" if num_shards == 1 else f" The histories and the parts have {num_shards} shards each.",
        features=describe_features(data.features),
        labels=describe_labels(data.sequences),
    )


def pattern(file: str, num_shards: int) -> str:
    """Return the pattern of the names of a file's shards; its own name if it is the only one."""
    return file if num_shards == 1 else file.replace(".", "-*.")


def describe_features(features: ItemFeatures | None) -> str:
    """Return a sentence on the features of the items; empty without any."""
    if features is None:
        return ""
    names = ", ".join(f"`{plain(name)}`" for name in features.names)
    return f" `item_features.safetensors` holds the values of {names} in this order of items."


def describe_labels(sequences: Mapping[str, Histories]) -> str:
    """Return sentences on the labels of held-out rows and on impressions; empty without any."""
    labels = [f"`{target_key(name)}`" for name in label_names(sequences["test"].columns)]
    found = f" The labels of the targets are {', '.join(labels)}." if labels else ""
    if sequences["train"].impressions is not None:
        found += (
            f" Each row of {', '.join(f'`{file}`' for file in IMPRESSION_FILES)} is an item that was shown after these "
            "events and not chosen."
        )
    return found


def prepared_files(folder: Path) -> list[str]:
    """Return the names of the files that a prepared set can have, those of its shards included."""
    return [*PREPARED_FILES, *(path.name for path in folder.glob(SHARDS))]


def plain(name: str) -> str:
    """Replace characters that have a meaning in Markdown, HTML or a shell."""
    return re.sub(r"[^\w .:+/-]", "_", name)


def find_prepared(dataset: str | Path) -> Path | None:
    """Return the folder of a prepared set, downloaded if it is on the Hub; None if the name is not a prepared set.

    Raises:
        SavedFolderError: If the prepared set is incomplete.
        HubError: If the Hub refuses a part of it.
        HubConnectionError: If the Hub cannot be reached, or fails, during the download.
    """
    if os.path.exists(os.path.expanduser(dataset)):
        return find_prepared_folder(Path(dataset).expanduser())
    if str(dataset).count("/") != 1 or not is_hub_name(str(dataset)):
        return None
    try:
        hf_hub_download(str(dataset), PROTOCOL, repo_type="dataset")
    except (EntryNotFoundError, HFValidationError, OSError):
        return None  # loading it as a table of interactions reports what is wrong
    with explained(str(dataset), "fetched"):
        return Path(snapshot_download(str(dataset), repo_type="dataset", allow_patterns=[*PREPARED_FILES, SHARDS]))


def find_prepared_folder(folder: Path) -> Path | None:
    """Return a folder if it holds a prepared set; refuse an incomplete one."""
    if (folder / PROTOCOL).is_file():
        return folder
    parts = [file for file in (HISTORIES, *PART_FILES) if shards_of(folder, file)]
    if parts and (folder / TOKENIZER[0]).exists():
        raise SavedFolderError(
            f"'{folder}' holds {', '.join(parts)} and a vocabulary, but no {PROTOCOL}: the prepared set is "
            "incomplete. Prepare it again."
        )
    return None
