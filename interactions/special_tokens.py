"""Special ids: the three tokens that are not items, and the label of positions without a prediction."""

__all__ = [
    "IGNORED_LABEL",
    "MASK_ID",
    "MASK_TOKEN",
    "NUM_SPECIAL_TOKENS",
    "PAD_ID",
    "PAD_TOKEN",
    "SPECIAL_TOKENS",
    "UNK_ID",
    "UNK_TOKEN",
]

PAD_TOKEN, MASK_TOKEN, UNK_TOKEN = SPECIAL_TOKENS = ("<|pad|>", "<|mask|>", "<|unk|>")
PAD_ID, MASK_ID, UNK_ID = range(3)
NUM_SPECIAL_TOKENS = len(SPECIAL_TOKENS)
IGNORED_LABEL = -100  # label of positions that the loss ignores, as in transformers
