"""Find items by their titles while somebody types, in catalogues of up to about a million items.

All titles are one text in the order of popularity, in which bytes are searched: the first matches are the most popular.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence

import numpy as np

__all__ = ["ItemSearch", "fold"]

ACCENTS = re.compile("[\u0300-\u036f]+")
NO_LETTERS = re.compile(r"[^\w\n]+")
LINE_BREAKS = re.compile(" *\n *")
LINE = b"\n"
MOST_RANKED = 1000  # matches of a rare text, which are ranked one by one
MOST_CHECKED = 30_000  # lines with the longest of several words that are checked for the others


class ItemSearch:
    """Searches the titles of a catalogue.

    Args:
        names: The title of each item, or its id if it has none.
        order: The rows of the items, the most popular first.
        row_of_id: Returns the row of a raw id, None if it is unknown.
    """

    def __init__(self, names: Sequence[str], order: np.ndarray, row_of_id: Callable[[str], int | None]) -> None:
        self.order = order
        self.row_of_id = row_of_id
        lines = fold("\n".join(names[row].replace("\n", " ") for row in order.tolist()))
        self.text = LINE_BREAKS.sub(" \n ", f"\n{lines}\n").strip(" ").encode()  # each word between two spaces
        self.line_starts = np.flatnonzero(np.frombuffer(self.text, dtype=np.uint8) == LINE[0])

    def find(self, query: str, limit: int = 12) -> list[int]:
        """Return the rows of the best matches; the most popular items for an empty query.

        The item with this id is first. Titles that are the query follow, those that begin with it, those with a word
        that does, those that contain it, and those that contain all its words; each kind by popularity. Case, accents
        and punctuation do not matter.

        Args:
            query: The text to find.
            limit: Largest number of items.
        """
        text = " ".join(fold(query.replace("\n", " ")).split()).encode()
        if not text and not query.strip():
            return self.order[:limit].tolist()
        by_id = self.row_of_id(query.strip())
        found = [] if by_id is None else [by_id]
        rows = self.order[self.lines_of(text, limit)].tolist() if text else []
        return list(dict.fromkeys([*found, *rows]))[:limit]

    def lines_of(self, text: bytes, limit: int) -> list[int]:
        """Return the lines of the best matches of a folded query."""
        kinds = (b"\n " + text + b" \n", b"\n " + text, b" " + text, text)
        some = self.first_lines([text], MOST_RANKED)
        if len(some) < MOST_RANKED:  # these are all
            some.sort(key=lambda line: next(i for i, kind in enumerate(kinds) if kind in self.line(line)))
            found = some
        else:
            found = list(dict.fromkeys(line for kind in kinds for line in self.first_lines([kind], limit)))
        words = text.split()
        if len(found) < limit and len(words) > 1:
            by_length = sorted(words, key=len, reverse=True)
            found += [line for line in self.first_lines(by_length, limit + len(found)) if line not in found]
        return found[:limit]

    def first_lines(self, parts: Sequence[bytes], limit: int) -> list[int]:
        """Return the first lines that contain all parts, found by the first of them."""
        found = []
        for start, end in self.matches(parts[0]):
            if len(parts) == 1 or all(part in self.text[start:end] for part in parts[1:]):
                found.append(start)
                if len(found) == limit:
                    break
        return np.searchsorted(self.line_starts, found).tolist()

    def matches(self, part: bytes) -> Iterator[tuple[int, int]]:
        """Yield the start and end of the lines that contain a part, the first ones if it is very frequent."""
        position = self.text.find(part)
        for _ in range(MOST_CHECKED):
            if position < 0:
                return
            start, end = self.text.rfind(LINE, 0, position + 1), self.text.find(LINE, position + 1)
            yield start, end
            position = self.text.find(part, end)

    def line(self, number: int) -> bytes:
        """Return a line with the line breaks around it."""
        return self.text[self.line_starts[number] : self.line_starts[number + 1] + 1]


def fold(text: str) -> str:
    """Return text in lower case, without accents, and with one space in place of all that is no letter or digit."""
    lower = text.casefold()
    if not lower.isascii():
        lower = ACCENTS.sub("", unicodedata.normalize("NFKD", lower))
    return NO_LETTERS.sub(" ", lower)
