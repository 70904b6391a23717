"""Ids with a meaning of their own: the three tokens that are no items, and the label of nothing to predict."""

PAD_TOKEN, MASK_TOKEN, UNK_TOKEN = SPECIAL_TOKENS = ("<|pad|>", "<|mask|>", "<|unk|>")
PAD_ID, MASK_ID, UNK_ID = range(3)
NUM_SPECIAL_TOKENS = len(SPECIAL_TOKENS)
IGNORED_LABEL = -100  # the library's label for a position at which nothing is to be predicted
