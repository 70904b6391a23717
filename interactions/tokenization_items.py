"""The item tokenizer: converts between raw item ids and a model's token ids.

Shape suffix: N items to encode or decode.
"""

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, TypeGuard

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
from tokenizers import AddedToken
from transformers import BatchEncoding, TokenizersBackend

from seqrec.errors import InputError
from seqrec.interactions.item_rows import rows_of, token_ids_of
from seqrec.interactions.raw_ids import id_text, read_histories, read_ids
from seqrec.interactions.special_tokens import NUM_SPECIAL_TOKENS, SPECIAL_TOKENS, UNK_ID
from seqrec.interactions.tokenizer_settings import make_tokenizer

__all__ = ["ItemTokenizer"]

BULK = 1000  # from this many ids, in a small catalogue, a hash table of all items is faster than single look-ups
SHARE_IN_BULK = 8  # the same in a large catalogue: from one id per this many items


class ItemTokenizer(TokenizersBackend):
    """A vocabulary of items: each raw id is one token.

    Build it with `from_interactions` or `from_item_ids`. Called on one history of raw ids, or on a list of
    histories, it behaves like any tokenizer of `transformers`; it pads and truncates on the left, so
    that the newest items are kept, at the end. Ids may contain spaces, commas and line breaks.

    Without this class, `AutoTokenizer.from_pretrained(folder, trust_remote_code=False)` loads it; histories then need
    `is_split_into_words=True`. If `trust_remote_code` is left out, transformers asks about the code of the model in the
    folder, although the vocabulary needs none.
    """

    @classmethod
    def from_item_ids(cls, item_ids_in_order: Iterable[str | int]) -> "ItemTokenizer":
        """Build a tokenizer that gives the items token ids from 3, in the given order.

        Raises:
            InputError: If there are no items, or an id is empty, occurs twice or equals a special token.
        """
        item_ids = as_raw_ids(item_ids_in_order)
        require_vocabulary(item_ids)
        tokenizer = make_tokenizer(cls, item_ids)
        tokenizer.item_series = item_ids.rename(
            ""
        ).rechunk()  # so that it need not be read from the library's vocabulary
        return tokenizer

    @classmethod
    def from_interactions(
        cls, interactions: pl.DataFrame, catalogue: Iterable[str | int] | None = None
    ) -> "ItemTokenizer":
        """Build a tokenizer of the items that occur, the most frequent first, ties by first appearance.

        Args:
            interactions: The interactions to count: the training part, so that counts contain no held-out data.
            catalogue: Additional item ids. Those that do not occur follow, in this order; repeats are allowed.
        """
        occurring = interactions.group_by("item_id", maintain_order=True).len()
        item_ids = occurring.sort("len", descending=True, maintain_order=True)["item_id"].cast(pl.String)
        if catalogue is not None:
            everything = pl.concat([item_ids, as_raw_ids(catalogue).rename("item_id")])
            item_ids = everything.unique(maintain_order=True)
        return cls.from_item_ids(item_ids)

    def __call__(self, text: Any = None, text_pair: Any = None, **kwargs: Any) -> BatchEncoding:
        """Encode one history (a list, array or column of raw ids, or a single id) or a batch of them.

        Takes the options of any tokenizer: `padding`, `truncation`, `max_length`, `return_tensors`, ….

        Raises:
            InputError: If the input is neither an id, nor a list of ids, nor a list of such lists.
        """
        kwargs.setdefault("is_split_into_words", True)
        return super().__call__(words(text), text_pair, **kwargs)

    def add_tokens(self, new_tokens: Any, special_tokens: bool = False) -> int:
        """Refuse further tokens: the library would look for them inside other items' ids.

        Raises:
            InputError: On any token but the special ones, which the library adds itself.
        """
        tokens = [new_tokens] if isinstance(new_tokens, str | AddedToken) else list(new_tokens)
        strange = [str(token) for token in tokens if str(token) not in SPECIAL_TOKENS]
        if strange:
            raise InputError(
                f"Items cannot be added to a tokenizer (first: '{strange[0]}'). Build a new one with "
                "ItemTokenizer.from_item_ids(tokenizer.item_ids + new_ids): known items keep their token ids."
            )
        return super().add_tokens(new_tokens, special_tokens=special_tokens)

    @property
    def num_items(self) -> int:
        """Number of items in the catalogue: the vocabulary without the special tokens."""
        return rows_of(len(self))

    @property
    def item_ids(self) -> list[str]:
        """Raw ids in the order of their token ids, from token id 3 on."""
        return self.item_series.to_list()

    @cached_property
    def item_series(self) -> pl.Series:
        """The raw ids in token order, as a column."""
        name_of = self.backend_tokenizer.id_to_token
        names = [name_of(token_id) for token_id in range(token_ids_of(0), len(self))]
        return pl.Series(values=names, dtype=pl.String)  # from a list: polars starts no threads, which a fork loses

    def encode_item_ids(self, item_ids: Iterable[str | int]) -> np.ndarray:
        """Look up raw ids.

        Args:
            item_ids: A list, array or column of N text or integer ids.

        Returns:
            `token_ids_N`, int64; the id of `<|unk|>` for items outside the catalogue.

        Raises:
            InputError: If an id is missing, or neither text nor an integer.
        """
        if is_column(item_ids):
            return self.look_up_in_bulk(as_column(item_ids).to_arrow())
        return self.look_up(read_ids(item_ids))

    def look_up(self, names: list[str]) -> np.ndarray:
        """Look up N raw ids that are already text; see `encode_item_ids`."""
        if len(names) >= BULK and len(names) >= self.num_items // SHARE_IN_BULK:
            return self.look_up_in_bulk(pa.array(names, type=pa.large_string()))
        id_of = self.backend_tokenizer.token_to_id
        found = [id_of(name) for name in names]
        found = [id_ if id_ is not None and id_ >= NUM_SPECIAL_TOKENS else UNK_ID for id_ in found]
        return np.array(found, dtype=np.int64)

    def look_up_in_bulk(self, names_N: pa.LargeStringArray) -> np.ndarray:
        """Look up many ids at once with a hash table of the catalogue."""
        rows = pc.index_in(names_N, value_set=self.item_series.to_arrow())
        return pc.fill_null(pc.add(rows, token_ids_of(0)), UNK_ID).to_numpy(zero_copy_only=False).astype(np.int64)

    def decode_item_ids(self, token_ids: Sequence[int] | np.ndarray) -> list[str]:
        """Return the raw ids of N token ids.

        Raises:
            InputError: If a token id is not an integer, is special, or lies beyond the vocabulary.
        """
        token_ids_N = np.asarray(token_ids)
        if token_ids_N.size == 0:
            return []
        if not np.issubdtype(token_ids_N.dtype, np.integer):
            raise InputError(f"Token ids of type {token_ids_N.dtype} were given; expected integers.")
        strange_N = (token_ids_N < NUM_SPECIAL_TOKENS) | (token_ids_N >= len(self))
        if strange_N.any():
            raise InputError(
                f"{strange_N.sum()} of {token_ids_N.size} token ids are not items "
                f"(first: {token_ids_N[strange_N][0]}). Items have token ids from {NUM_SPECIAL_TOKENS} to "
                f"{len(self) - 1}."
            )
        return self.item_series.gather(rows_of(token_ids_N)).to_list()


def as_raw_ids(item_ids: Any) -> pl.Series:
    """Return raw ids as a column of text."""
    if is_column(item_ids):
        return as_column(item_ids)
    return pl.Series(values=read_ids(item_ids), dtype=pl.String)


def is_column(item_ids: Any) -> TypeGuard[pl.Series | np.ndarray]:
    """Return whether ids can be read as a whole column instead of one by one."""
    return isinstance(item_ids, pl.Series) or (
        isinstance(item_ids, np.ndarray) and item_ids.dtype != object and item_ids.ndim == 1 and len(item_ids) > 0
    )


def as_column(item_ids: pl.Series | np.ndarray) -> pl.Series:
    """Return a column of ids as text."""
    column = pl.Series(values=item_ids)
    if not (column.dtype.is_integer() or isinstance(column.dtype, pl.String | pl.Categorical | pl.Enum)):
        raise InputError(f"Item ids of type {column.dtype} were given; expected text or integers.")
    if column.null_count():
        raise InputError(f"{column.null_count()} of {len(column)} item ids are missing (null). Drop their rows.")
    return column.cast(pl.String)


def words(text: Any) -> Any:
    """Convert histories to lists of text; ids may be integers, and a single id is a history of one item."""
    if text is None:
        return None
    if isinstance(text, str | int | np.integer):
        return [id_text(text)]
    histories, is_single = read_histories(text)
    return histories[0] if is_single else histories


def require_vocabulary(item_ids: pl.Series) -> None:
    """Refuse ids that cannot be the tokens of a vocabulary."""
    if len(item_ids) == 0:
        raise InputError("A tokenizer needs items, but none were given. Give at least one item id.")
    if (item_ids == "").any():
        raise InputError("An item id is empty. Give each item an id of at least one character.")
    if item_ids.is_in(list(SPECIAL_TOKENS)).any():
        raise InputError(f"An item id equals a special token ({', '.join(SPECIAL_TOKENS)}). Rename the item.")
    repeated = item_ids.filter(item_ids.is_duplicated())
    if len(repeated):
        raise InputError(
            f"{repeated.n_unique()} item ids occur more than once (first: '{repeated[0]}'). Give each once."
        )
