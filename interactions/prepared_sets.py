"""Prepared sets: sequences, vocabulary and catalogue in one folder, or in one repository of the Hub.

The folder holds the histories' events (`histories.parquet`), a Parquet file of each part, whose rows are views on them,
`items.parquet`, the tokenizer, and `protocol.json`, which says how they were made. User ids are left out: nothing
needs them any more.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huggingface_hub import DatasetCard, DatasetCardData, hf_hub_download, snapshot_download
from huggingface_hub.errors import EntryNotFoundError, HFValidationError

from seqrec.errors import SavedFolderError
from seqrec.interactions.catalogue import Catalogue
from seqrec.interactions.histories import Histories
from seqrec.interactions.history_files import HISTORIES, PART_FILES, read_sequences, write_sequences
from seqrec.interactions.hub_errors import explained
from seqrec.interactions.locations import is_hub_name
from seqrec.interactions.one_line import one_line
from seqrec.interactions.prepared_checks import require_catalogue, require_protocol
from seqrec.interactions.splitting import PARTS
from seqrec.interactions.tokenization_items import ItemTokenizer
from seqrec.interactions.whole_files import whole_folder

PROTOCOL, ITEMS, CARD_NAME = "protocol.json", "items.parquet", "README.md"
TOKENIZER = ("tokenizer.json", "tokenizer_config.json")
PREPARED_FILES = (HISTORIES, *PART_FILES, ITEMS, *TOKENIZER, PROTOCOL, CARD_NAME)
CARD = """---
{{ card_data }}
---

# {{ name }}

Histories of {{ users }} users over {{ items }} items, from the interactions of `{{ dataset }}`, prepared for sequential
recommenders by **seqrec**: `{{ split_method }}` split, SHA-256 `{{ split_sha256 }}`. Users have no ids.

```bash
seqrec train --dataset {{ name }} --output_dir runs/model
```

Each row of `histories.parquet` is one user's events, oldest first; `input_ids` are token ids. The rows of the parts are
views on them: the first `length` events of row number `history`, counted from 0, and what came next (`target`,
`target_timestamp`) where it is held out. `items.parquet` lists the items' own ids in the order of their token ids, from
3 on, and `protocol.json` says how the data were filtered and split.
"""


@dataclass(frozen=True)
class PreparedData:
    """Sequences ready for training and evaluation, their vocabulary, and how they came about."""

    sequences: dict[str, Histories]
    tokenizer: ItemTokenizer
    items: Catalogue
    protocol: dict[str, Any]

    def save(self, folder: str | Path, *, name: str | None = None) -> None:
        """Write a prepared set.

        It is there whole or not at all.

        Args:
            folder: A new or empty folder.
            name: What its card calls it, such as the repository it will be in; the folder's name if None.

        Raises:
            ValueError: If the folder holds anything, or cannot be written.
        """
        with whole_folder(folder, last=PROTOCOL) as part_folder:
            write_sequences(self.sequences, part_folder)
            self.items.save(part_folder / ITEMS)
            self.tokenizer.save_pretrained(part_folder)
            protocol = json.dumps(self.protocol, indent=2) + "\n"
            (part_folder / PROTOCOL).write_text(protocol, encoding="utf-8")
            describe(self.protocol, name or Path(folder).resolve().name).save(part_folder / CARD_NAME)

    @classmethod
    def load(cls, folder: str | Path) -> "PreparedData":
        """Read what `save` wrote.

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
        except Exception as error:  # whatever a library makes of a damaged file
            raise SavedFolderError(
                f"The prepared set in {folder} cannot be read; prepare it again. {one_line(error)}"
            ) from error
        return cls(sequences, tokenizer, items, protocol)


def describe(protocol: Mapping[str, Any], name: str) -> DatasetCard:
    """Make a prepared set's card; its metadata says to `datasets` which files are which split.

    Files that differ in their columns are different configurations.
    """
    files = {
        "histories": {"histories": HISTORIES},
        "train": {"train": PART_FILES[0]},
        "held_out": dict(zip(PARTS[1:], PART_FILES[1:], strict=True)),
    }
    return DatasetCard.from_template(
        DatasetCardData(
            tags=["sequential-recommendation", "seqrec"],
            configs=[
                {"config_name": name, "data_files": [{"split": part, "path": file} for part, file in own.items()]}
                for name, own in files.items()
            ],
        ),
        template_str=CARD,
        name=plain(name),
        users=f"{protocol['num_users']:,}",
        items=f"{protocol['num_items']:,}",
        dataset=plain(protocol["dataset"]),
        split_method=protocol["split_method"],
        split_sha256=protocol["split_sha256"],
    )


def plain(name: str) -> str:
    """Leave out of a name what Markdown, HTML or a shell would take for more than letters."""
    return re.sub(r"[^\w .:+/-]", "_", name)


def find_prepared(dataset: str | Path) -> Path | None:
    """Return the folder of a prepared set, fetched if it is on the Hub; None if this names no prepared set.

    Raises:
        SavedFolderError: If it is half a prepared set.
        HubError: If the Hub does not give all of it.
        HubConnectionError: If the Hub cannot be reached, or fails, after it gave a part of it.
    """
    if os.path.exists(os.path.expanduser(dataset)):
        return find_prepared_folder(Path(dataset).expanduser())
    if str(dataset).count("/") != 1 or not is_hub_name(str(dataset)):
        return None
    try:
        hf_hub_download(str(dataset), PROTOCOL, repo_type="dataset")
    except (EntryNotFoundError, HFValidationError, OSError):
        return None  # whoever loads it as a table of interactions says what is wrong with it
    with explained(str(dataset), "fetched"):
        return Path(snapshot_download(str(dataset), repo_type="dataset", allow_patterns=list(PREPARED_FILES)))


def find_prepared_folder(folder: Path) -> Path | None:
    """Return a folder if it holds a prepared set, and refuse half of one."""
    if (folder / PROTOCOL).is_file():
        return folder
    parts = [file for file in (HISTORIES, *PART_FILES) if (folder / file).exists()]
    if parts and (folder / TOKENIZER[0]).exists():
        raise SavedFolderError(
            f"'{folder}' holds {', '.join(parts)} and a vocabulary, but no {PROTOCOL}: it is half a prepared set. "
            "Prepare it again."
        )
    return None
