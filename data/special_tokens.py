"""The three token ids that are no items. Items follow from `NUM_SPECIAL_TOKENS` on."""

PAD_TOKEN, MASK_TOKEN, UNK_TOKEN = SPECIAL_TOKENS = ("<|pad|>", "<|mask|>", "<|unk|>")
PAD_ID, MASK_ID, UNK_ID = range(3)
NUM_SPECIAL_TOKENS = len(SPECIAL_TOKENS)
