"""Ids that are probably the same, written in more than one way."""

import warnings

import polars as pl

INVISIBLE = "[\u200b\u200c\u200d\u2060\ufeff]"  # zero-width characters
WHOLE_DECIMAL = r"^([+-]?\d+)\.0*$"  # of a column of integers that once had gaps


def plain_spelling(ids: pl.Series) -> pl.Series:
    """Bring ids to one spelling: " 126 " and "126.0" to "126", decomposed letters to composed ones."""
    return ids.str.normalize("NFC").str.replace_all(INVISIBLE, "").str.strip_chars().str.replace(WHOLE_DECIMAL, "${1}")


def warn_of_spellings(ids: pl.Series, noun: str) -> None:
    """Warn if some ids differ only in blanks around them, a decimal ".0", or how Unicode composes their letters.

    Args:
        ids: A column of ids, repeats included; integers have one spelling.
        noun: What they are, in the plural.
    """
    if ids.dtype != pl.String:
        return
    unique = ids.unique().rename("id")
    table = pl.DataFrame({"id": unique, "plain": plain_spelling(unique)})
    if table["id"].equals(table["plain"]):
        return
    repeated = table.filter(pl.col("plain").is_duplicated()).sort("plain", "id")
    if repeated.is_empty():
        return
    first = repeated.filter(pl.col("plain") == repeated["plain"][0])["id"]
    spellings = " and ".join(map(ascii, first.head(3)))
    warnings.warn(
        f"{repeated['plain'].n_unique():,} of {len(unique):,} {noun} seem to be there under more than one spelling of "
        f"their id (first: {spellings}). Each spelling counts by itself: write them alike.",
        stacklevel=3,
    )
