"""The rule that chooses settings: what it chooses, for what, and that given settings always win."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given as forall
from hypothesis import strategies as st

from seqrec.modeling.modeling_auto import MODEL_TYPES
from seqrec.training.arguments import SequentialTrainingArguments
from seqrec.training.chosen_defaults import plain_arguments, plain_fields
from seqrec.training.default_rule import (
    CHOSEN_ARGUMENTS,
    CHOSEN_FIELDS,
    NEGATIVES,
    RULE,
    Circumstances,
    Row,
    choose_settings,
)

RECIPES = sorted((Path(__file__).parents[2] / "benchmarks" / "recipes").glob("*.yaml"))
HERE = Circumstances(
    num_users=943,
    num_items=1682,
    num_interactions=100_000,
    catalogue_size=1682,
    density=0.063,
    repeat_share=0.0,
    mean_length=104.0,
    median_length=63.0,
    length_90=244.0,
    length_95=310.0,
    has_times=True,
    has_item_features=False,
    memory_gib=16.0,
    has_fast_bfloat16=False,
    has_accelerator=False,
)
amounts, lengths = st.integers(1, 10**8), st.floats(1, 10**5)
anything = st.builds(
    Circumstances,
    **dict.fromkeys(("num_users", "num_items", "num_interactions", "catalogue_size"), amounts),
    **dict.fromkeys(("mean_length", "median_length", "length_90", "length_95"), lengths),
    **dict.fromkeys(("density", "repeat_share"), st.floats(0, 1)),
    **dict.fromkeys(("has_times", "has_item_features", "has_fast_bfloat16", "has_accelerator"), st.booleans()),
    memory_gib=st.floats(0, 1000),
)


def plain(model_type="sasrec"):
    return {**plain_fields(model_type), **plain_arguments()}


def chosen(circumstances=HERE, given=(), model_type="sasrec", **options):
    choices = choose_settings(circumstances, plain(model_type), dict(given), model_type=model_type, **options)
    return {one.name: one.value for one in choices}


def test_settings_that_no_row_names_have_their_plain_defaults():
    found = chosen(rule=())
    assert found == {name: value for name, value in plain().items() if name not in NEGATIVES}
    assert found["hidden_size"] == 64
    assert found["learning_rate"] == 1e-3


def test_positions_hold_most_histories():
    values = [chosen(replace(HERE, length_95=length))["max_position_embeddings"] for length in (3, 20, 21, 50.5, 999)]
    assert values == [20, 20, 30, 60, 200]
    (choice,) = (one for one in choose_settings(HERE, plain(), {}) if one.name == "max_position_embeddings")
    assert choice.reason == "19 of 20 training histories have at most 310 items"


def test_rows_apply_in_their_circumstances():
    rule = (Row("it is fast", lambda one: one.has_fast_bfloat16, {"bf16": True}),)
    fast = replace(HERE, has_fast_bfloat16=True)
    assert not chosen(rule=rule)["bf16"]
    assert chosen(fast, rule=rule)["bf16"]
    assert "bf16" not in chosen(fast, {"bf16": False}, rule=rule)
    assert not chosen(fast, {"fp16": True}, rule=rule)["bf16"]


def test_later_rows_count_more_and_given_settings_most():
    rule = (
        Row("all", lambda one: True, {"hidden_size": 128, "hidden_dropout": 0.4}),
        Row("few items", lambda one: one.num_items < 2_000, {"hidden_dropout": 0.5, "logit_scale": 20.0}),
        Row("many items", lambda one: one.num_items > 2_000, {"hidden_size": 8}),
        Row("of another architecture", lambda one: True, {"hidden_size": 9}, model_types=("hstu",)),
    )
    found = chosen(rule=rule)
    assert [found[name] for name in ("hidden_size", "hidden_dropout", "logit_scale")] == [128, 0.5, 20.0]
    assert found["intermediate_size"] == 512  # in proportion
    assert "hidden_dropout" not in chosen(given={"hidden_dropout": 0.1}, rule=rule)
    assert "logit_scale" not in chosen(given={"logit_scale": None}, rule=rule)
    assert "intermediate_size" not in chosen(given={"hidden_size": 32}, rule=rule)
    reasons = {one.name: one.reason for one in choose_settings(HERE, plain(), {}, rule=rule)}
    assert reasons["hidden_dropout"] == "few items"
    assert reasons["intermediate_size"] == "all"
    assert reasons["learning_rate"] == ""


def test_negatives_are_chosen_only_for_a_loss_that_has_them():
    assert not set(NEGATIVES) & chosen().keys()
    assert set(NEGATIVES) <= chosen(given={"loss": "sampled_softmax"}).keys()
    rule = [Row("all", lambda one: True, {"loss": "gbce", "negatives_shared_by": "sequence"})]
    assert chosen(rule=rule)["negatives_shared_by"] == "sequence"


@pytest.mark.parametrize(("size", "positions", "heads"), [(5, "learned", 1), (6, "rotary", 1), (8, "rotary", 2)])
def test_heads_fit_a_size_that_was_given(size, positions, heads):
    given = {"hidden_size": size, "position_embedding_type": positions}
    assert chosen(given=given, rule=())["num_attention_heads"] == heads


@forall(anything)
def test_whatever_the_data_are_the_choice_can_be_trained(circumstances):
    for model_type in ("sasrec", "esasrec", "bert4rec", "hstu"):
        found = chosen(circumstances, model_type=model_type)
        assert found.keys() <= {*CHOSEN_FIELDS, *CHOSEN_ARGUMENTS}
        fields = {name: value for name, value in found.items() if name in CHOSEN_FIELDS}
        MODEL_TYPES[model_type](**fields)
        SequentialTrainingArguments(**{name: value for name, value in found.items() if name in CHOSEN_ARGUMENTS})


def test_the_rows_name_known_settings():
    assert all(row.settings.keys() <= {*CHOSEN_FIELDS, *CHOSEN_ARGUMENTS} for row in RULE)


@pytest.mark.parametrize("path", RECIPES, ids=[path.stem for path in RECIPES])
def test_recipes_leave_nothing_to_the_rule(path):
    """They mean the same when the rule changes."""
    recipe = yaml.safe_load(path.read_text())
    assert chosen(given=recipe, model_type=recipe["model_type"]) == {}
