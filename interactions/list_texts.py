"""Lists written as text, such as "['Comedy', 'Drama']", as many public tables have them.

Shape suffix: I items.
"""

import polars as pl

from seqrec.interactions.feature_values import parse_list_text

__all__ = ["are_list_texts", "parse_list_text", "parse_list_texts"]


def are_list_texts(column: pl.Series) -> bool:
    """Return whether all texts of a column, except missing and empty ones, are lists of texts or integers."""
    texts = column.cast(pl.String).str.strip_chars().drop_nulls().unique()
    texts = texts.filter(texts != "")
    if texts.is_empty() or not (texts.str.starts_with("[") & texts.str.ends_with("]")).all():
        return False
    return all(parse_list_text(text) is not None for text in texts)


def parse_list_texts(column: pl.Series) -> pl.Series:
    """Turn texts into lists of texts (I); a text that is no list becomes its only entry."""
    texts = column.cast(pl.String).str.strip_chars()
    found = {}
    for text in texts.drop_nulls().unique():
        entries = parse_list_text(text)
        found[text] = [text] if entries is None else entries
    return pl.Series(column.name, [found.get(text) for text in texts], dtype=pl.List(pl.String))
