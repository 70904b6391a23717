"""Public data sets by name: downloaded when first used, then read from the user's cache folder."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from seqrec.errors import InputError
from seqrec.interactions.amazon_reviews import AMAZON_TERMS, write_amazon_reviews
from seqrec.interactions.cached_sets import cached_set
from seqrec.interactions.grouplens import terms_of, write_movielens
from seqrec.interactions.public_names import AMAZON, MOVIELENS, PublicName, parse_public_name
from seqrec.interactions.yambda import YAMBDA_TERMS, is_too_large, write_yambda

__all__ = ["PublicSet", "find_public_set"]


@dataclass(frozen=True)
class PublicSet:
    """A public data set.

    Attributes:
        name: Its name.
        terms: Its terms of use.
        write: Downloads it, and writes it into a folder.
        is_too_large: Whether it is too large for one table in memory.
    """

    name: PublicName
    terms: str
    write: Callable[[PublicName, Path], None]
    is_too_large: bool = False

    def folder(self) -> Path:
        """Return the folder with its `interactions.parquet` and, if it has items, `items.parquet`.

        It is `$SEQREC_DATA_DIR/<name>` if that exists; otherwise `seqrec/<name>` in the user's cache folder, which is
        written first if necessary.

        Raises:
            InputError: If it cannot be downloaded from GroupLens, has another form than expected, or does not fit on
                the disk.
            HubError: If the Hub refuses it.
            HubConnectionError: If the Hub cannot be reached.
        """
        return cached_set(self.name.folder, partial(self.write, self.name))

    def require_one_table(self) -> None:
        """Raise an `InputError` if it is too large for one table in memory."""
        if self.is_too_large:
            raise InputError(
                f"'{self.name}' has billions of interactions, too many for one table in memory. Run "
                "`seqrec prepare` first, which divides it, and use the folder that it writes."
            )


def find_public_set(dataset: object) -> PublicSet | None:
    """Return the public data set of a name; None if it is not one.

    Raises:
        InputError: If the set has no such part.
    """
    name = parse_public_name(dataset)
    if name is None:
        return None
    if name.set in MOVIELENS:
        return PublicSet(name, terms_of(name), write_movielens)
    if name.set == AMAZON:
        return PublicSet(name, AMAZON_TERMS, write_amazon_reviews)
    return PublicSet(name, YAMBDA_TERMS, write_yambda, is_too_large(name))
