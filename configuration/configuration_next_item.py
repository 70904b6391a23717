"""What every next-item model's configuration shares."""

from difflib import get_close_matches
from typing import Literal

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from seqrec.data.special_tokens import NUM_SPECIAL_TOKENS

COUNTS = ("hidden_size", "num_hidden_layers", "intermediate_size", "max_position_embeddings", "num_negatives")
REMOTE_MODULES = "transformers_modules"  # where transformers puts classes that it loaded from a repository

# What the library itself stores in config.json, or takes as a keyword, beside the declared fields.
LIBRARY_KEYS = frozenset(
    {
        "_attn_implementation_internal",
        "_commit_hash",
        "_experts_implementation_internal",
        "attn_implementation",
        "auto_map",
        "custom_pipelines",
        "experts_implementation",
        "id2label",
        "label2id",
        "model_type",
        "name_or_path",
        "num_labels",
        "output_attentions",
        "per_layer_config",
        "quantization_config",
        "torch_dtype",
        "use_cache",
    }
)


@strict
class NextItemConfig(PreTrainedConfig):
    """Fields that all next-item models share; architectures add their own.

    The vocabulary is the item catalogue, behind `NUM_SPECIAL_TOKENS` special tokens, which are never recommended
    and take no probability in the loss.

    Args:
        vocab_size: Rows of the item embedding, special tokens included.
        hidden_size: Width D of embeddings and hidden states.
        num_hidden_layers: Transformer blocks.
        num_attention_heads: Heads H; must divide `hidden_size`.
        intermediate_size: Width of the feed-forward's inner layer.
        hidden_act: Its activation, by its name in `transformers`.
        max_position_embeddings: Positions of a row; longer histories are cut by the collators, the newest items kept.
        position_embedding_type: `"learned"` embeddings, added to the items', or `"rotary"` angles between them.
        hidden_dropout: Dropout on the embeddings and on each block's two outputs.
        attention_dropout: Dropout on the attention weights.
        loss: `"cross_entropy"` over the whole catalogue; or, over each target and `num_negatives` sampled items,
            `"sampled_softmax"`, `"bce"` or `"gbce"`. See `modeling/losses.py`.
        num_negatives: Items drawn anew for each batch.
        negatives_shared_by: Whether all tokens of a `"batch"` share them, or those of a `"sequence"` (of a packed
            row, which may hold several). `bce` and `gbce` learn far better by sequence: an item that a whole batch
            pushes away at once, and seldom, is pushed too far.
        negative_sampling: `"uniform"`, or `"log_uniform"`: the popular more often, by Zipf's law along the token ids.
            `sampled_softmax` corrects for it.
        gbce_calibration: t of `gbce`, from 0 (`bce`) to 1.
        logit_scale: Where given, users and items are vectors of length 1, and their product is scaled by this:
            cosine similarity in place of the product.
        initializer_range: Standard deviation of the normal initialisation.
        layer_norm_eps: Epsilon of the layer norms.
        pad_token_id: Token id of `<|pad|>`.
        mask_token_id: Token id of `<|mask|>`.
        unk_token_id: Token id of `<|unk|>`, an item outside the catalogue.

    Raises:
        ValueError: On an unknown field (with the nearest known name), or values that don't fit together.
    """

    vocab_size: int = 1003
    hidden_size: int = 64
    num_hidden_layers: int = 2
    num_attention_heads: int = 2
    intermediate_size: int = 256
    hidden_act: str = "gelu"
    max_position_embeddings: int = 200
    position_embedding_type: Literal["learned", "rotary"] = "learned"
    hidden_dropout: float | int = 0.2
    attention_dropout: float | int = 0.0
    loss: Literal["cross_entropy", "sampled_softmax", "bce", "gbce"] = "cross_entropy"
    num_negatives: int = 256
    negatives_shared_by: Literal["batch", "sequence"] = "batch"
    negative_sampling: Literal["uniform", "log_uniform"] = "uniform"
    gbce_calibration: float | int = 0.75
    logit_scale: float | int | None = None
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-8
    pad_token_id: int | None = 0
    mask_token_id: int = 1
    unk_token_id: int = 2
    is_causal: bool = True
    tie_word_embeddings: bool = True

    def __post_init__(self, **kwargs: object) -> None:
        if not type(self).__module__.startswith(REMOTE_MODULES):
            # They name files beside the weights, which a class of the installed package has no need of, and which
            # would not be there in another folder that it is saved to.
            kwargs.pop("auto_map", None)
            kwargs.pop("custom_pipelines", None)
        self.refuse_unknown_fields(kwargs)
        super().__post_init__(**kwargs)

    @property
    def num_items(self) -> int:
        """Items of the catalogue: the vocabulary without the special tokens."""
        return self.vocab_size - NUM_SPECIAL_TOKENS

    @property
    def max_history_length(self) -> int:
        """Longest history, in items, that the model reads."""
        return self.max_position_embeddings

    def refuse_unknown_fields(self, kwargs: dict[str, object]) -> None:
        """Raise a `ValueError` for keywords that are neither fields nor the library's own."""
        unknown = sorted(set(kwargs) - LIBRARY_KEYS)
        if not unknown:
            return
        near = get_close_matches(unknown[0], self.__dataclass_fields__, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{type(self).__name__} has no field {unknown[0]!r}.{hint}")

    def validate_architecture(self) -> None:
        """Check that the fields fit together; run by the library after construction."""
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size={self.hidden_size} cannot be split into num_attention_heads="
                f"{self.num_attention_heads} equal heads. Choose a multiple."
            )
        if self.position_embedding_type == "rotary" and self.hidden_size // self.num_attention_heads % 2:
            raise ValueError(
                f"Rotary positions need heads of an even size, but hidden_size={self.hidden_size} and "
                f"num_attention_heads={self.num_attention_heads} give {self.hidden_size // self.num_attention_heads}."
            )
        if self.vocab_size <= NUM_SPECIAL_TOKENS:
            raise ValueError(
                f"vocab_size={self.vocab_size} leaves no room for items beside the {NUM_SPECIAL_TOKENS} "
                "special tokens. Pass vocab_size=len(tokenizer)."
            )
        for name in COUNTS:
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, but is {getattr(self, name)}.")
        for name in ("hidden_dropout", "attention_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must lie in [0, 1), but is {getattr(self, name)}.")
        if not 0 <= self.gbce_calibration <= 1:
            raise ValueError(f"gbce_calibration must lie in [0, 1], but is {self.gbce_calibration}.")
        if self.loss == "gbce" and self.negative_sampling != "uniform":
            raise ValueError(
                "gbce is calibrated for uniform negatives, but negative_sampling="
                f"{self.negative_sampling!r}. Choose negative_sampling='uniform' or another loss."
            )
        if self.logit_scale is not None and self.logit_scale <= 0:
            raise ValueError(f"logit_scale must be above 0, but is {self.logit_scale}.")
