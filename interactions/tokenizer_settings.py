"""Make the tokenizer of a vocabulary of items, of any of the library's classes."""

from collections.abc import Iterable
from typing import Any

from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from seqrec.interactions.special_tokens import MASK_TOKEN, PAD_TOKEN, SPECIAL_TOKENS, UNK_TOKEN

__all__ = ["make_tokenizer"]


def make_tokenizer(tokenizer_class: Any, item_ids: Iterable[str]) -> Any:
    """Make a tokenizer that gives the special tokens and then the items the token ids from 0."""
    vocabulary = {token: index for index, token in enumerate([*SPECIAL_TOKENS, *item_ids])}
    return tokenizer_class(
        tokenizer_object=Tokenizer(WordLevel(vocabulary, unk_token=UNK_TOKEN)),
        pad_token=PAD_TOKEN,
        mask_token=MASK_TOKEN,
        unk_token=UNK_TOKEN,
        padding_side="left",
        truncation_side="left",
        model_input_names=["input_ids", "attention_mask"],
        split_special_tokens=True,  # otherwise an id such as "a<|pad|>b" would be split
    )
