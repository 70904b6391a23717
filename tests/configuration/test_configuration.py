"""Every value of a field gives a working model, or a one-line error that names the field."""

import json
import math
import re
from typing import get_args

import pytest
import torch
from transformers import AutoConfig

from seqrec import AutoModelForNextItem, SasRecConfig
from seqrec.configuration.config_fields import Purpose, help_of, own_fields, purpose_of
from seqrec.configuration.strict_config import strict_config
from seqrec.errors import InputError
from seqrec.modeling.modeling_auto import MODEL_TYPES

WILD = [None, -1, 0, 1.5, 1e6, 1e308, 10**30, math.nan, math.inf, "x", "", [], {}, True, "a\nb", [1] * 1000]
LIBRARY = ["num_labels", "torch_dtype", "quantization_config", "per_layer_config", "experts_implementation", "nonsense"]


def fields_of(model_type):
    return sorted([*MODEL_TYPES[model_type].__dataclass_fields__, *LIBRARY])


@pytest.mark.parametrize(
    ("model_type", "field"), [(model_type, field) for model_type in MODEL_TYPES for field in fields_of(model_type)]
)
def test_a_wild_value_works_or_is_refused_in_one_line(tiny_config, field):
    given = {name: getattr(tiny_config, name) for name in ("vocab_size", "hidden_size", "intermediate_size")}
    for value in WILD:
        config, refusal = None, f"{field} works"
        try:
            config = type(tiny_config)(**{**given, field: value})
        except ValueError as error:
            refusal = str(error)
        assert "\n" not in refusal
        assert field.removeprefix("torch_") in refusal
        assert len(refusal) < 600
        if config is None:
            continue
        model = AutoModelForNextItem.from_config(config).eval()
        with torch.no_grad():
            assert model.encode_users(torch.tensor([[5, 6, 7]])).isfinite().all(), (field, value)


@pytest.mark.parametrize("model_type", ["sasrec"])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_attention_heads": 0}, "num_attention_heads must be at least 1"),
        ({"hidden_size": 33}, "Choose a multiple"),
        ({"hidden_act": "gelux"}, "hidden_act must be one of gelu"),
        ({"hidden_size": "x"}, "hidden_size must be int, but is 'x'"),
        ({"loss": "x"}, "loss must be one of 'cross_entropy'"),
        ({"num_hidden_layers": 10**6}, "num_hidden_layers must be at least 1 and at most 1000"),
        ({"num_labels": 10**6}, "has no field 'num_labels'"),
        ({"mask_token_id": 7}, "mask_token_id must be 1"),
        ({"layer_norm_eps": math.nan}, "layer_norm_eps must be above 0"),
        ({"dtype": "int8"}, "dtype must be one of float32"),
        ({"model_type": "bert4rec"}, "has the model_type 'sasrec', but 'bert4rec' was given"),
    ],
)
def test_what_is_wrong_is_said(tiny_config, changes, message):
    with pytest.raises(ValueError, match=message):
        SasRecConfig(**changes)


@pytest.mark.parametrize("model_type", ["sasrec"])
def test_fields_set_later_are_checked_too(tiny_config):
    with pytest.raises(ValueError, match="hidden_size must be int, but is 'x'"):
        tiny_config.hidden_size = "x"
    tiny_config.num_attention_heads = 3
    with pytest.raises(ValueError, match="Choose a multiple"):
        AutoModelForNextItem.from_config(tiny_config)


def test_what_decides_the_scores_is_all_but_what_training_alone_reads(tiny_config):
    fields = tiny_config.scoring_fields()
    assert fields["model_type"] == tiny_config.model_type
    assert {"num_attention_heads", "layer_norm_eps", "logit_scale", "context_columns", "item_parts"} <= set(fields)
    assert ("hidden_act" in fields) == (tiny_config.model_type not in ("esasrec", "hstu"))
    left_out = tiny_config.training_fields()
    assert left_out <= {field.name for field in own_fields(tiny_config)}
    assert not left_out & set(fields)
    assert {"loss", "num_negatives", "gbce_calibration", "hidden_dropout", "initializer_range"} <= left_out
    assert ("masking_probability" in left_out) == (tiny_config.model_type == "bert4rec")


def test_every_field_has_a_purpose_and_a_sentence_that_documents_it(tiny_config):
    for field in own_fields(tiny_config):
        assert purpose_of(field) in get_args(Purpose)
        assert re.fullmatch(r"[A-Z'].*\.", help_of(field)), field.name
        assert f"\n    {field.name}: {help_of(field)[:20]}" in type(tiny_config).__doc__
    assert type(tiny_config).__doc__.count("Args:") == 1


def test_a_subclass_without_a_word_on_its_field_keeps_it_among_what_decides_the_scores():
    @strict_config
    class OwnConfig(SasRecConfig):
        model_type = "own"
        num_towers: int = 3

    assert OwnConfig().scoring_fields()["num_towers"] == 3
    assert "hidden_size: Width" in OwnConfig.__doc__


FROM_LATER = {"invented": 1, "num_labels": 7, "quantization_config": {"bits": 4}, "is_causal": True}


@pytest.mark.parametrize("name", ["invented", "is_causal", "tie_word_embeddings", "num_items", "max_length"])
def test_by_hand_unknown_fields_are_refused(tmp_path, tiny_config, name):
    refused = pytest.raises(InputError, match=rf"{type(tiny_config).__name__} has no field '{name}'")
    with refused:
        type(tiny_config)(**{name: 1})
    with refused:
        type(tiny_config).from_dict({}, **{name: 1})
    tiny_config.save_pretrained(tmp_path)
    with refused:
        type(tiny_config).from_pretrained(tmp_path, **{name: 1})


def test_unknown_entries_of_a_file_are_left_out(tmp_path, tiny_config):
    tiny_config.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **FROM_LATER, "pad_token_id": None}))
    for load in (type(tiny_config).from_pretrained, AutoConfig.from_pretrained):
        loaded = load(tmp_path)
        assert loaded.to_diff_dict() == tiny_config.to_diff_dict()
        assert not FROM_LATER.keys() - {"is_causal", "num_labels"} & vars(loaded).keys()
    assert type(tiny_config).from_json_file(path).scoring_fields() == tiny_config.scoring_fields()
    assert type(tiny_config).from_pretrained(tmp_path, hidden_dropout=0.5).hidden_dropout == 0.5


def test_the_library_s_masks_are_told_the_direction_without_a_field(tiny_config):
    assert tiny_config.is_causal == (tiny_config.model_type != "bert4rec")
    assert "is_causal" not in tiny_config.to_dict()


@pytest.mark.parametrize("model_type", ["sasrec"])
def test_a_model_reads_the_item_ids_and_its_context(tiny_config):
    assert tiny_config.event_columns == ("input_ids",)
    assert SasRecConfig(context_columns=["device", "hour"]).event_columns == ("input_ids", "device", "hour")
    assert SasRecConfig().context_columns == []
    with pytest.raises(InputError, match="context_columns must name each part once"):
        SasRecConfig(context_columns=["device", "device"])


@pytest.mark.parametrize("model_type", ["sasrec"])
def test_a_kernel_of_the_hub_is_asked_for_by_the_loader_alone(tiny_config):
    saved = tiny_config.to_diff_dict()
    for attention in ("org/kernel", "org/kernel:attend", "paged|x", 5, ["sdpa"]):
        with pytest.raises(ValueError, match="attn_implementation in a saved configuration must be one of eager, "):
            SasRecConfig.from_dict({**saved, "attn_implementation": attention})
    assert SasRecConfig.from_dict(saved, attn_implementation="org/kernel")._attn_implementation == "org/kernel"
    assert SasRecConfig.from_dict({**saved, "attn_implementation": "eager"})._attn_implementation == "eager"


def test_another_architecture_does_not_inherit_the_texts_of_its_base_for_cards():
    @strict_config
    class FurtherConfig(SasRecConfig):
        model_type = "further"
        summary = "a further model"

    @strict_config
    class WiderConfig(SasRecConfig):
        hidden_size: int = 128

    assert (FurtherConfig.display_name, FurtherConfig.summary) == ("", "a further model")
    assert (FurtherConfig.paper, FurtherConfig.citation) == ("", "")
    assert (WiderConfig.display_name, WiderConfig.paper) == (SasRecConfig.display_name, SasRecConfig.paper)
