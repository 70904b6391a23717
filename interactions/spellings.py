"""Detect ids that are probably the same but spelled differently."""

import warnings

import polars as pl

__all__ = ["may_be_misspelled", "warn_of_spellings"]

INVISIBLE = "[\u200b\u200c\u200d\u2060\ufeff]"  # zero-width characters
WHOLE_DECIMAL = r"^([+-]?\d+)\.0*$"  # what integers become in a column with missing values


def plain_spelling(ids: pl.Series) -> pl.Series:
    """Normalise spelling: " 126 " and "126.0" become "126", decomposed letters become composed."""
    return ids.str.normalize("NFC").str.replace_all(INVISIBLE, "").str.strip_chars().str.replace(WHOLE_DECIMAL, "${1}")


def may_be_misspelled(ids: pl.Series) -> bool:
    """Return whether some ids have another spelling, so that it takes a look at all of them."""
    return ids.dtype == pl.String and not ids.equals(plain_spelling(ids))


def warn_of_spellings(ids: pl.Series, noun: str) -> None:
    """Warn if ids differ only in surrounding spaces, a decimal ".0", or the Unicode composition of their letters.

    Args:
        ids: A column of ids, possibly with repeats; integers are not checked.
        noun: What they identify, in the plural: "users" or "items".
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
        f"{repeated['plain'].n_unique():,} of {len(unique):,} {noun} seem to occur under more than one spelling of "
        f"their id (first: {spellings}). Each spelling counts separately: use only one.",
        stacklevel=3,
    )
