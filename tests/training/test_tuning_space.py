"""The settings that a search varies fit the architecture and the data, and each of their values can be trained with."""

from types import SimpleNamespace

import numpy as np
import optuna
import pytest

from seqrec.errors import InputError
from seqrec.interactions.histories import Histories
from seqrec.modeling.modeling_auto import MODEL_TYPES
from seqrec.training.arguments import SequentialTrainingArguments
from seqrec.training.settings import sort_settings
from seqrec.training.tuning_space import search_space

ARGUMENTS = SequentialTrainingArguments()


def data(num_items=500, num_users=900, longest=150, features=None):
    """What a search looks at: lengths of histories, and how many items there are."""
    lengths = np.linspace(1, longest, num_users).astype(int)
    histories = Histories.from_lists({"input_ids": [np.full(length, 3) for length in lengths]})
    return SimpleNamespace(sequences={"train": histories}, items=range(num_items), features=features)


def space_of(model_type="sasrec", *, fields=None, given=None, only=None, changeable=None, **sizes):
    config = MODEL_TYPES[model_type](**(fields or {}))
    fixed = {**(fields or {}), **(given or {})}
    return search_space(ARGUMENTS, config, data(**sizes), fixed=fixed, only=only, changeable=changeable)


@pytest.fixture
def draw():
    """Draw settings at random."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))

    def drawn(space, number=60):
        return [space.settings(space.draw(study.ask())) for _ in range(number)]

    return drawn


@pytest.mark.parametrize("sizes", [{}, {"num_items": 9_000, "num_users": 30_000}], ids=["small", "large"])
@pytest.mark.parametrize("fields", [{}, {"hidden_size": 48}], ids=["free", "fixed size"])
def test_whatever_is_drawn_makes_a_configuration(model_type, draw, fields, sizes):
    if model_type not in ("sasrec", "esasrec", "bert4rec", "hstu"):
        pytest.skip("an architecture of another package")
    space = space_of(model_type, fields=fields, **sizes)
    for settings in draw(space):
        sorted_ = sort_settings({**fields, **settings}, model_type)
        config = MODEL_TYPES[model_type](**sorted_.config)
        assert config.hidden_size == settings.get("hidden_size", 48)
        SequentialTrainingArguments(**sorted_.training)
    for first in space.first_trials():
        assert first.keys() <= space.choices.keys()
        assert all(space.choices[name].holds(value) for name, value in first.items())
        MODEL_TYPES[model_type](**sort_settings({**fields, **space.settings(first)}, model_type).config)


def test_the_first_trial_changes_nothing(model_type):
    space = space_of(model_type)
    config = MODEL_TYPES[model_type]()
    for name, value in space.settings(space.first_trials()[0]).items():
        assert value == getattr(config if hasattr(config, name) else ARGUMENTS, name)


def test_what_is_searched_depends_on_architecture_and_data():
    assert "masking_probability" in space_of("bert4rec").choices
    assert "masking_probability" not in space_of("sasrec").choices
    assert {"loss", "num_negatives"} <= space_of(num_items=9_000).choices.keys()
    assert not {"loss", "num_negatives"} & space_of().choices.keys()
    assert "num_negatives" in space_of(fields={"loss": "sampled_softmax"}).choices
    assert not {"loss", "num_negatives"} & space_of(num_items=9_000, fields={"loss": "cross_entropy"}).choices.keys()
    assert "item_id_embedding" in space_of(features=object()).choices
    assert space_of(longest=30).choices["max_position_embeddings"].values == (20, 50, 200)
    space = space_of(changeable={"hidden_dropout"})
    assert "hidden_size" not in space.choices
    assert {"hidden_dropout", "learning_rate"} <= space.choices.keys()


def test_settings_that_follow(draw):
    for settings in draw(space_of(num_items=9_000)):
        assert settings["intermediate_size"] == 4 * settings["hidden_size"]
        assert ("num_negatives" in settings) == (settings["loss"] != "cross_entropy")
        assert ("negative_sampling" in settings) == (settings["loss"] == "sampled_softmax")
        assert (settings.get("negatives_shared_by") == "sequence") == (settings["loss"] == "gbce")
    assert "intermediate_size" not in draw(space_of(fields={"intermediate_size": 32}))[0]


def test_values_that_were_given_are_not_searched_and_defaults_of_any_value_are():
    assert "learning_rate" not in space_of(given={"learning_rate": 0.1}).choices
    config = MODEL_TYPES["sasrec"](hidden_size=36, hidden_dropout=0.13, num_hidden_layers=9, logit_scale=3)
    space = search_space(SequentialTrainingArguments(learning_rate=0.5), config, data(), fixed=())
    for name, value in space.first_trials()[0].items():
        assert space.choices[name].holds(value), name
    assert space.choices["num_attention_heads"].values == (1, 2)


def test_named_settings_are_searched_alone():
    space = space_of(only=["weight_decay", "hidden_size"])
    assert set(space.choices) == {"weight_decay", "hidden_size"}
    with pytest.raises(InputError, match=r"search='hiden_size' .* Did you mean 'hidden_size'\?"):
        space_of(only=["hiden_size"])
    with pytest.raises(InputError, match="hidden_size is named by `search`, but its value is given too"):
        space_of(only=["hidden_size"], fields={"hidden_size": 8})
    with pytest.raises(InputError, match="search='masking_probability' is no setting that a search of sasrec can vary"):
        space_of(only=["masking_probability"])
