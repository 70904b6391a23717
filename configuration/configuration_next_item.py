"""Configuration that all next-item models share."""

from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from os import PathLike
from typing import Any, ClassVar, Literal

from transformers import PreTrainedConfig

from seqrec.configuration.config_fields import SCORING, TRAINING, names_for, option
from seqrec.configuration.item_feature_entries import require_item_features
from seqrec.configuration.strict_config import shown, strict_config
from seqrec.configuration.task_entries import NEXT_ITEM_TASK, require_scale, require_tasks, require_weights
from seqrec.errors import InputError
from seqrec.interactions.events import TIME_COLUMNS
from seqrec.interactions.label_columns import register_label_columns
from seqrec.interactions.special_tokens import MASK_ID, NUM_SPECIAL_TOKENS, PAD_ID, UNK_ID

__all__ = ["WITHOUT_CODE", "NextItemConfig", "require_sizes"]

# Key in a saved `config.json` of the configuration that transformers reads if it may not run the folder's code.
WITHOUT_CODE = "config_without_remote_code"

CARD_TEXTS = ("display_name", "summary", "paper", "citation")
# Upper limits of sizes: far beyond any model, but low enough to catch mistakes at once.
LARGEST = {
    "vocab_size": 2**31,
    "hidden_size": 2**16,
    "num_hidden_layers": 1000,
    "max_position_embeddings": 2**20,
    "num_negatives": 2**31,
}
LONGEST_WINDOW = 36_500  # days
FLOATS = ("float32", "float16", "bfloat16", "float64")
LABELS = {"0": "LABEL_0", "1": "LABEL_1"}  # the library's default, for classifiers and other models alike
REMOTE_MODULES = "transformers_modules"  # where transformers puts classes that it loaded from a repository

SPECIAL_TOKEN_IDS = {"pad_token_id": PAD_ID, "mask_token_id": MASK_ID, "unk_token_id": UNK_ID}

# Entries that the library itself stores in config.json or takes as keywords, in addition to the declared fields.
LIBRARY_KEYS = frozenset(
    {
        "_attn_implementation_internal",
        "_commit_hash",
        "_experts_implementation_internal",
        "attn_implementation",
        "auto_map",
        "custom_pipelines",
        "model_type",
        "name_or_path",
        "output_attentions",
        "torch_dtype",
        "use_cache",
        WITHOUT_CODE,
    }
)


@strict_config
class NextItemConfig(PreTrainedConfig):
    """Fields that all next-item models share; architectures add their own.

    The vocabulary consists of `NUM_SPECIAL_TOKENS` special tokens, which are never recommended and take no probability
    in the loss, followed by the item catalogue. A configuration made in code refuses unknown fields; one loaded from a
    file ignores them, as later versions of seqrec or transformers may have written them.

    Attributes:
        display_name: The architecture's name in model cards. A subclass with another `model_type` inherits none of
            these texts.
        summary: Its description in model cards, with its authors, such as "a causal Transformer over …".
        paper: Address of its paper.
        citation: Its paper in BibTeX.

    Raises:
        InputError: On an unknown field (with the nearest known name), or values that don't fit together.
    """

    display_name: ClassVar[str] = ""
    summary: ClassVar[str] = ""
    paper: ClassVar[str] = ""
    citation: ClassVar[str] = ""
    # Read by the masks of transformers. The architecture determines it, so it is not a field.
    is_causal = True
    keys_to_ignore_at_inference = ["losses", "num_labels"]  # noqa: RUF012, a list as in the library

    vocab_size: int = option(1003, "data", "Rows of the item embedding, special tokens included.")
    hidden_size: int = option(64, "architecture", "Width D of embeddings and hidden states.")
    num_hidden_layers: int = option(2, "architecture", "Number of layers.")
    max_position_embeddings: int = option(
        200, "architecture", "Positions in a row. Longer histories are truncated to the newest items."
    )
    hidden_dropout: float | int = option(0.2, "training", "Dropout on the embeddings and between layers.")
    loss: Literal["cross_entropy", "sampled_softmax", "bce", "gbce"] = option(
        "cross_entropy",
        "loss",
        "'cross_entropy' over the whole catalogue; or 'sampled_softmax', 'bce' or 'gbce' over each target and "
        "`num_negatives` sampled items.",
    )
    num_negatives: int = option(256, "sampling", "Negative items, drawn for each batch.")
    negatives_shared_by: Literal["batch", "sequence"] = option(
        "batch",
        "sampling",
        "Whether negatives are shared by the tokens of a 'batch', or of a 'sequence' (each one of a packed row). "
        "'bce' and 'gbce' learn far better with 'sequence': negatives shared by a batch update few items, rarely but "
        "strongly, which overshoots.",
    )
    negative_sampling: Literal["uniform", "log_uniform"] = option(
        "uniform",
        "sampling",
        "'uniform', or 'log_uniform', which draws popular items more often (Zipf's law over the ranks by "
        "popularity); 'sampled_softmax' corrects for it.",
    )
    gbce_calibration: float | int = option(0.75, "calibration", "Calibration t of 'gbce', from 0 (as 'bce') to 1.")
    logit_scale: float | int | None = option(
        None, "architecture", "If set, scores are cosine similarities multiplied by this factor."
    )
    context_columns: list[str] = option(
        [], "parts", "Registered event parts, by the names of their columns: context to add to an item's input."
    )
    request_time: Literal["last_event", "target"] = option(
        "last_event",
        "architecture",
        "When a model that reads times takes the next item to be asked for: at the time of the 'last_event', so that "
        "nothing new is told, or at the known time of the request, which in training is that of the 'target'.",
    )
    popularity_windows: list[int] = option(
        [],
        "architecture",
        "Windows in days, such as 7. An item's score then also depends on its number of interactions in each of them, "
        "up to the day of the request, with weights learned from the user's history.",
    )
    item_parts: list[str] = option([], "parts", "Registered item parts, by name, to add to an item's id embedding.")
    item_features: dict[str, dict] = option(
        {},
        "parts",
        "Features of items that their vectors are made of, by name: a 'category' with its `size`, the number of codes, "
        "and `per_item`, the most values of one item; a 'number'; or a 'vector' with its `size`.",
    )
    item_id_embedding: Literal["free", "bounded", "none"] = option(
        "free",
        "architecture",
        "Whether an item's vector contains an embedding of its id next to its features: one of any length ('free'), "
        "one that cannot be longer than `item_id_bound` while the features have length 1 ('bounded', which is chosen "
        "where a training reads item features), or 'none'.",
    )
    item_id_bound: float | int = option(0.5, "architecture", "Greatest length of a 'bounded' id embedding.")
    tasks: list[str] = option(
        [NEXT_ITEM_TASK],
        "architecture",
        "What the model predicts: 'next_item', and any columns of outcomes. 'rating' is predicted as a number on "
        "`rating_scale`; any other column, such as 'click' or 'like', as the probability of a 1.",
    )
    rating_scale: list[float | int] | None = option(
        None,
        "architecture",
        "Lowest and highest rating, such as 1 and 5; by default, the smallest and largest one of the training data.",
    )
    past_labels: list[str] = option(
        [], "architecture", "Tasks other than 'next_item' whose outcomes of past events the model also reads."
    )
    task_weights: dict[str, float | int] = option(
        {}, "loss", "Weight of each task's loss, by task; 1 for a task that is not named."
    )
    task_weighting: Literal["fixed", "learned"] = option(
        "fixed",
        "loss",
        "Whether losses are weighted by `task_weights` ('fixed'), or by the uncertainty of each task, 'learned' in "
        "training (Kendall et al. 2018).",
    )
    initializer_range: float | int = option(0.02, "initialization", "Standard deviation of the initial weights.")
    pad_token_id: int = option(PAD_ID, "special_token", "Token id of `<|pad|>`.")
    mask_token_id: int = option(MASK_ID, "special_token", "Token id of `<|mask|>`.")
    unk_token_id: int = option(UNK_ID, "special_token", "Token id of `<|unk|>`, an item outside the catalogue.")

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "model_type" in vars(cls):  # another architecture, which the texts of its base class do not describe
            for name in CARD_TEXTS:
                if name not in vars(cls):
                    setattr(cls, name, "")

    def __post_init__(self, **kwargs: Any) -> None:
        if not type(self).__module__.startswith(REMOTE_MODULES):
            # Installed classes do not use remote code; keeping these keys would point to files missing from the next
            # folder saved.
            kwargs.pop("auto_map", None)
            kwargs.pop("custom_pipelines", None)
            kwargs.pop(WITHOUT_CODE, None)
        self.refuse_another_model_type(kwargs.pop("model_type", self.model_type))
        self.refuse_classes()
        self.refuse_unknown_fields(kwargs)
        self.refuse_other_dtypes(self.dtype, kwargs.get("torch_dtype"))
        super().__post_init__(**kwargs)

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], *, return_unused_kwargs: bool = False, **kwargs: Any) -> Any:
        """Make a configuration from the content of a `config.json`, ignoring unknown entries.

        Args:
            config_dict: The saved content.
            return_unused_kwargs: Whether to also return the keywords that are not fields, as the library's loaders do.
            **kwargs: Fields to change.

        Raises:
            InputError: If values do not fit together, a keyword is not a field (unless these are returned, or passed on
                by an Auto class), or the file names a kernel on the Hub.
        """
        refuse_fetched_kernels(config_dict)
        known = {field.name for field in fields(cls)} | LIBRARY_KEYS
        saved = {name: value for name, value in config_dict.items() if name in known and not is_no_token(name, value)}
        # The library would set any attribute, such as `num_items`.
        chosen = {name: value for name, value in kwargs.items() if name in known}
        unused = {name: value for name, value in kwargs.items() if name not in known}
        config = super().from_dict(saved, **chosen)
        if return_unused_kwargs:
            return config, unused
        if "name_or_path" not in kwargs:  # AutoConfig passes it, together with arguments meant for models
            config.refuse_unknown_fields(unused)
        return config

    @classmethod
    def from_json_file(cls, json_file: str | PathLike[str]) -> Any:
        """Make a configuration from a `config.json`, as `from_dict` does."""
        return cls.from_dict(cls._dict_from_json_file(json_file))

    @classmethod
    def training_fields(cls) -> frozenset[str]:
        """Return the names of the fields that only training reads. All others but the special tokens affect scores."""
        return names_for(cls, (*TRAINING, "initialization"))

    @property
    def num_items(self) -> int:
        """Items of the catalogue: the vocabulary without the special tokens."""
        return self.vocab_size - NUM_SPECIAL_TOKENS

    @property
    def max_history_length(self) -> int:
        """Longest history, in items, that the model reads."""
        return self.max_position_embeddings

    @property
    def reads_time(self) -> bool:
        """Whether the model reads when events happened; an architecture with an encoding of time extends it."""
        return bool(self.popularity_windows) or not TIME_COLUMNS.isdisjoint(self.context_columns)

    @property
    def request_protocol(self) -> dict[str, Any]:
        """What a model knows of a request besides the items: `request_time` and `popularity_windows`, if it reads them.

        Only figures of models that know the same are comparable.
        """
        if not self.reads_time:
            return {}
        windows = {"popularity_windows": self.popularity_windows} if self.popularity_windows else {}
        return {"request_time": self.request_time, **windows}

    @property
    def event_columns(self) -> tuple[str, ...]:
        """Event columns that the model reads: the item, context, times if they have an effect, and past labels."""
        times = ("timestamps",) if self.reads_time else ()
        asked = ("request_times",) if self.request_time == "target" else ()
        return tuple(dict.fromkeys(("input_ids", *self.context_columns, *times, *asked, *self.past_labels)))

    @property
    def label_tasks(self) -> tuple[str, ...]:
        """Tasks other than the next item, each predicted for a user and an item, in the order of `tasks`."""
        return tuple(name for name in self.tasks if name != NEXT_ITEM_TASK)

    @property
    def data_columns(self) -> tuple[str, ...]:
        """Event columns that training reads from tables: `event_columns`, and the labels of all tasks."""
        return tuple(dict.fromkeys((*self.event_columns, *self.label_tasks)))

    def refuse_unknown_fields(self, kwargs: dict[str, object]) -> None:
        """Raise an `InputError` for keywords that are neither fields nor the library's own."""
        unknown = sorted(set(kwargs) - LIBRARY_KEYS)
        if not unknown:
            return
        near = get_close_matches(unknown[0], [field.name for field in fields(self)], n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise InputError(f"{type(self).__name__} has no field {unknown[0]!r}.{hint}")

    def refuse_another_model_type(self, model_type: Any) -> None:
        """Raise an `InputError` for the `model_type` of another architecture."""
        own = {getattr(base, "model_type", "") for base in type(self).__mro__}  # a user's subclass may have its own
        if model_type not in [*own]:
            raise InputError(
                f"{type(self).__name__} has the model_type {self.model_type!r}, but {shown(model_type)} was given."
            )

    def refuse_classes(self) -> None:
        """Raise an `InputError` for labels of classes, which nothing here would use."""
        labels = self.id2label
        if labels is not None and not (
            isinstance(labels, Mapping) and {str(key): label for key, label in labels.items()} == LABELS
        ):
            raise InputError(f"id2label must be left out, as a recommender has no classes, but is {shown(labels)}.")

    @staticmethod
    def refuse_other_dtypes(*dtypes: Any) -> None:
        """Raise an `InputError` for a dtype of the weights that models do not compute in."""
        for dtype in dtypes:
            if dtype is not None and str(dtype).removeprefix("torch.") not in FLOATS:
                raise InputError(f"dtype must be one of {', '.join(FLOATS)}, but is {shown(dtype)}.")

    def scoring_fields(self) -> dict[str, Any]:
        """Return the `model_type` and the fields that determine the scores of given weights."""
        names = sorted(names_for(self, SCORING))
        return {"model_type": type(self).model_type, **{name: getattr(self, name) for name in names}}

    def validate_architecture(self) -> None:
        """Check that the fields fit together; run by the library after construction, and before a model is built."""
        self.validate_sizes()
        self.validate_numbers()
        if self.request_time == "target" and not self.reads_time:
            raise InputError(
                "request_time='target' has no effect on a model that reads no times. Choose a time_encoding or "
                "popularity_windows too, or leave it out."
            )
        if self.loss == "gbce" and self.negative_sampling != "uniform":
            raise InputError(
                "gbce is calibrated for uniform negatives, but negative_sampling="
                f"{self.negative_sampling!r}. Choose negative_sampling='uniform' or another loss."
            )

    def validate_windows(self) -> None:
        """Check the windows of recent popularity."""
        windows = self.popularity_windows
        if len(set(windows)) < len(windows) or not all(0 < window <= LONGEST_WINDOW for window in windows):
            raise InputError(
                f"popularity_windows must be different numbers of days from 1 to {LONGEST_WINDOW}, but is "
                f"{shown(windows)}."
            )

    def validate_parts(self) -> None:
        """Check that no part is named twice. Whether the parts exist is checked when a model is built."""
        for name in ("context_columns", "item_parts"):
            parts = getattr(self, name)
            if len(set(parts)) < len(parts):
                raise InputError(f"{name} must name each part once, but is {shown(parts)}.")
        require_item_features(self.item_features)

    def validate_tasks(self) -> None:
        """Check the tasks, and the fields that name them."""
        require_tasks(self.tasks, past_labels=self.past_labels, context_columns=self.context_columns)
        register_label_columns(self.label_tasks)
        require_scale(self.rating_scale)
        require_weights(self.task_weights, self.tasks, self.task_weighting)

    def validate_outputs(self) -> None:
        """Check a field of the library that would otherwise fail only when the model runs."""
        if not isinstance(self.output_hidden_states, bool | list | None):
            raise InputError(f"output_hidden_states must be true or false, but is {shown(self.output_hidden_states)}.")

    def validate_sizes(self) -> None:
        """Check integers: sizes, and the ids of special tokens."""
        require_sizes(self, LARGEST)
        if self.vocab_size <= NUM_SPECIAL_TOKENS:
            raise InputError(
                f"vocab_size={self.vocab_size} leaves no room for items after the {NUM_SPECIAL_TOKENS} "
                "special tokens. Pass vocab_size=len(tokenizer)."
            )
        for name, token_id in SPECIAL_TOKEN_IDS.items():
            if getattr(self, name) != token_id:
                raise InputError(f"{name} must be {token_id}, as in every vocabulary, but is {getattr(self, name)}.")

    def validate_numbers(self) -> None:
        """Check floats. Written so that NaN fails too."""
        if not 0 <= self.hidden_dropout < 1:
            raise InputError(f"hidden_dropout must lie in [0, 1), but is {self.hidden_dropout}.")
        if not 0 <= self.gbce_calibration <= 1:
            raise InputError(f"gbce_calibration must lie in [0, 1], but is {self.gbce_calibration}.")
        if not 0 < self.initializer_range <= 100:
            raise InputError(f"initializer_range must be above 0 and at most 100, but is {self.initializer_range}.")
        if not 0 < self.item_id_bound <= 100:
            raise InputError(f"item_id_bound must be above 0 and at most 100, but is {self.item_id_bound}.")
        if self.logit_scale is not None and not 0 < self.logit_scale <= 10_000:
            raise InputError(f"logit_scale must be above 0 and at most 10000, but is {self.logit_scale}.")


def require_sizes(config: NextItemConfig, largest: Mapping[str, int]) -> None:
    """Raise an `InputError` if a size is below 1, or above its limit in `largest`, which holds limits by field."""
    for name, limit in largest.items():
        if not 1 <= getattr(config, name) <= limit:
            raise InputError(f"{name} must be at least 1 and at most {limit}, but is {getattr(config, name)}.")


def is_no_token(name: str, value: Any) -> bool:
    """Return whether a saved entry says that a special token does not exist, which version 0.1 allowed."""
    return name in SPECIAL_TOKEN_IDS and value is None


def refuse_fetched_kernels(saved: Mapping[str, Any]) -> None:
    """Raise an `InputError` if a saved configuration names attention code that is not installed.

    Whoever loads a model can request a kernel on the Hub (`attn_implementation=`); its folder cannot.
    """
    attention = saved.get("attn_implementation")
    if attention is None:
        return
    from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS  # here: it may be loading this module

    known = ["eager", *ALL_ATTENTION_FUNCTIONS.valid_keys()]
    if attention not in known:
        raise InputError(
            f"attn_implementation in a saved configuration must be one of {', '.join(known)}, "
            f"but is {shown(attention)}."
        )
