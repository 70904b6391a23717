"""The rule that chooses the settings that people leave alone: from the data and the machine to settings.

`RULE` holds its numbers, and the experiments in `benchmarks/` are where they come from. A setting that no row names has
the plain default of its class.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["CHOSEN_ARGUMENTS", "CHOSEN_FIELDS", "RULE", "Choice", "Circumstances", "Row", "choose_settings"]

NEGATIVES = ("num_negatives", "negatives_shared_by", "negative_sampling")
# Fields of the configuration and of the training arguments that the rule decides, if they are left alone.
CHOSEN_FIELDS = (
    *("hidden_size", "num_hidden_layers", "num_attention_heads", "hidden_dropout", "position_embedding_type"),
    *("max_position_embeddings", "logit_scale", "loss", *NEGATIVES, "intermediate_size"),
)
CHOSEN_ARGUMENTS = (
    *("learning_rate", "per_device_train_batch_size", "num_train_epochs", "early_stopping_patience", "bf16"),
)


@dataclass(frozen=True)
class Circumstances:
    """The data and the machine that settings are chosen for. Lengths are those of the training histories, in events.

    Attributes:
        num_users: Number of users.
        num_items: Number of items with interactions.
        num_interactions: Number of interactions.
        catalogue_size: Number of items to rank, with those without interactions.
        density: Fraction of all pairs of a user and an item that have interacted.
        repeat_share: Fraction of the interactions whose user has interacted with the item before.
        mean_length: Mean length.
        median_length: Median length.
        length_90: 90th percentile of the lengths.
        length_95: 95th percentile of the lengths.
        has_times: Whether timestamps are times.
        has_item_features: Whether items have features.
        memory_gib: Memory of the device that trains, in GiB.
        has_fast_bfloat16: Whether that device computes faster in bfloat16 than in float32.
        has_accelerator: Whether that device is a GPU or the like.
    """

    num_users: int
    num_items: int
    num_interactions: int
    catalogue_size: int
    density: float
    repeat_share: float
    mean_length: float
    median_length: float
    length_90: float
    length_95: float
    has_times: bool
    has_item_features: bool
    memory_gib: float
    has_fast_bfloat16: bool
    has_accelerator: bool

    @property
    def interactions_per_item(self) -> float:
        """The mean number of interactions of an item."""
        return self.num_interactions / max(self.num_items, 1)


@dataclass(frozen=True)
class Row:
    """A row of the rule: settings for certain circumstances.

    Attributes:
        reason: The circumstances in words, which the card and the terminal show.
        applies: Whether they are given.
        settings: The settings.
        model_types: The architectures; None for all.
    """

    reason: str
    applies: Callable[[Circumstances], bool]
    settings: Mapping[str, Any]
    model_types: Collection[str] | None = None


CAUSAL = ("sasrec", "esasrec", "hstu")  # the experiments are SASRec's; BERT4Rec needs more epochs and less dropout
SPARSE = 0.0178  # density
MANY_ITEMS = 20_000
# All rows that apply count, later ones more. Settings that an architecture lacks have no effect. The experiments are in
# `benchmarks/defaults`: sparse data get its candidate `cosine-flat`, other data `wide`.
RULE: tuple[Row, ...] = (
    Row("the device computes faster in bfloat16", lambda known: known.has_fast_bfloat16, {"bf16": True}),
    Row(
        f"at least {SPARSE:.2%} of all pairs of a user and an item have interacted",
        lambda known: known.density >= SPARSE,
        {
            "position_embedding_type": "rotary",
            "hidden_size": 128,
            "num_attention_heads": 4,
            "hidden_dropout": 0.3,
            "learning_rate": 2e-3,
            "per_device_train_batch_size": 64,
            "num_train_epochs": 30,
        },
        CAUSAL,
    ),
    Row(
        f"less than {SPARSE:.2%} of all pairs of a user and an item have interacted",
        lambda known: known.density < SPARSE,
        {
            "position_embedding_type": "rotary",
            "hidden_size": 128,
            "num_hidden_layers": 1,
            "hidden_dropout": 0.5,
            "logit_scale": 20,
            "per_device_train_batch_size": 128,
            "num_train_epochs": 25,
        },
        CAUSAL,
    ),
    Row(
        f"there are more than {MANY_ITEMS:,} items",
        lambda known: known.catalogue_size > MANY_ITEMS,
        {
            "loss": "sampled_softmax",
            "num_negatives": 4096,
            "negatives_shared_by": "batch",
            "negative_sampling": "log_uniform",
            "logit_scale": 14,
        },
        CAUSAL,
    ),
)
# max_position_embeddings holds all of the history of most users, up to a multiple and within bounds.
POSITIONS_MULTIPLE, FEWEST_POSITIONS, MOST_POSITIONS = 10, 20, 200


@dataclass(frozen=True)
class Choice:
    """A setting that the rule has chosen.

    Attributes:
        name: Its name.
        value: Its value.
        reason: Why, in words; empty for the plain default.
    """

    name: str
    value: Any
    reason: str = ""


def choose_settings(
    circumstances: Circumstances,
    plain: Mapping[str, Any],
    given: Mapping[str, Any],
    *,
    model_type: str = "sasrec",
    rule: Collection[Row] = RULE,
) -> list[Choice]:
    """Choose the settings that were left alone.

    Args:
        circumstances: The data and the machine.
        plain: The plain defaults of the settings that exist, by name; others are not chosen.
        given: The settings that were given, by name, which are never chosen.
        model_type: The architecture.
        rule: The rows of the rule.

    Returns:
        The choices, in the order of `CHOSEN_FIELDS` and `CHOSEN_ARGUMENTS`.
    """
    wanted: dict[str, Choice] = {"max_position_embeddings": positions(circumstances)}
    for row in rule:
        if row.applies(circumstances) and (row.model_types is None or model_type in row.model_types):
            wanted |= {name: Choice(name, value, row.reason) for name, value in row.settings.items()}
    if given.get("fp16"):
        wanted.pop("bf16", None)
    free = [name for name in (*CHOSEN_FIELDS, *CHOSEN_ARGUMENTS) if name in plain and name not in given]
    found = {name: wanted.get(name, Choice(name, plain[name])) for name in free}
    known = {**plain, **given, **{name: choice.value for name, choice in found.items()}}
    if known.get("loss") == "cross_entropy":
        found = {name: choice for name, choice in found.items() if name not in NEGATIVES}
    if "hidden_size" not in found:
        found.pop("intermediate_size", None)
    elif "intermediate_size" in found and "intermediate_size" not in wanted:
        found["intermediate_size"] = in_proportion(found["hidden_size"], plain)
    if "num_attention_heads" in found:
        found["num_attention_heads"] = fitting_heads(found["num_attention_heads"], known)
    return list(found.values())


def positions(circumstances: Circumstances) -> Choice:
    """Choose how many of a user's newest items the model reads."""
    multiple = POSITIONS_MULTIPLE
    rounded = multiple * -int(-circumstances.length_95 // multiple)
    value = min(max(rounded, FEWEST_POSITIONS), MOST_POSITIONS)
    reason = f"19 of 20 training histories have at most {circumstances.length_95:,.0f} items"
    return Choice("max_position_embeddings", value, reason)


def in_proportion(hidden_size: Choice, plain: Mapping[str, Any]) -> Choice:
    """Choose an inner size with the plain default's ratio to `hidden_size`."""
    value = plain["intermediate_size"] * hidden_size.value // plain["hidden_size"]
    return Choice("intermediate_size", value, hidden_size.reason)


def fitting_heads(choice: Choice, known: Mapping[str, Any]) -> Choice:
    """Return the choice, or fewer heads if it does not fit a size that was given: rotary positions turn pairs."""
    size, is_rotary = known["hidden_size"], known.get("position_embedding_type") == "rotary"
    fitting = [heads for heads in range(choice.value, 0, -1) if size % (2 * heads if is_rotary else heads) == 0]
    if not fitting or fitting[0] == choice.value:
        return choice
    return Choice(choice.name, fitting[0], f"hidden_size is {size}")
