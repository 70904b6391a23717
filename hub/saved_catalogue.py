"""Save a catalogue next to its model."""

from pathlib import Path

from seqrec.interactions.catalogue import Catalogue
from seqrec.interactions.item_rows import rows_of
from seqrec.interactions.whole_files import whole_file, write_text_whole
from seqrec.modeling.saved_items import ITEMS, ITEMS_JSON, items_as_json

__all__ = ["save_catalogue"]


def save_catalogue(items: Catalogue, folder: str | Path) -> None:
    """Write `items.parquet`, and `items.json` for environments without pyarrow.

    Raises:
        InputError: If the files cannot be written.
    """
    folder = Path(folder)
    with whole_file(folder / ITEMS) as part:
        items.save(part)
    hidden = rows_of(items.hidden_token_ids).tolist()
    text = items_as_json(items.item_ids, items.counts.tolist(), items.titles, hidden)
    write_text_whole(folder / ITEMS_JSON, text)
