"""Descriptions of item features are checked, and survive saving."""

import pytest

from seqrec import SasRecConfig
from seqrec.errors import InputError

CATEGORY = {"kind": "category", "size": 9, "per_item": 2}


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"year": {}}, r"item_features\['year'\] must have a kind: category, number, vector. It is \{\}"),
        ({"year": {"kind": "text"}}, "must have a kind"),
        ({"year": {"kind": ["number"]}}, "must have a kind"),
        ({"year": {"kind": "number", "size": 3}}, "must have the entry kind alone, as a number"),
        ({"a": {"kind": "vector"}}, "must have the entry kind and size, as a vector"),
        ({"a": {"kind": "category", "size": 9}}, "must have the entry kind and size, per_item, as a category"),
        ({"a": {**CATEGORY, "sizes": 3}}, "must have the entry kind and size, per_item"),
        ({"a": {**CATEGORY, "size": 2}}, r"item_features\['a'\]\['size'\] must be an integer from 3 to "),
        ({"a": {**CATEGORY, "per_item": 0}}, r"\['per_item'\] must be an integer from 1 to "),
        ({"a": {**CATEGORY, "per_item": True}}, r"\['per_item'\] must be an integer from 1 to "),
        ({"a": {"kind": "vector", "size": 3.0}}, r"\['size'\] must be an integer from 1 to "),
        ({"dtype": CATEGORY}, "item_features cannot name a feature 'dtype'. Rename its column"),
        ({"": CATEGORY}, "item_features cannot name a feature ''"),
        ({"a": 3}, "item_features must be dict"),
        ({3: CATEGORY}, "item_features must be dict"),
        (["a"], "item_features must be dict"),
    ],
)
def test_wrong_features_are_refused_in_one_line(features, message):
    with pytest.raises(InputError, match=message) as refusal:
        SasRecConfig(item_features=features)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("bound", [0, -1, float("nan"), 101])
def test_impossible_bounds_are_refused(bound):
    with pytest.raises(InputError, match="item_id_bound must be above 0 and at most 100"):
        SasRecConfig(item_features={"a": CATEGORY}, item_id_embedding="bounded", item_id_bound=bound)


def test_features_are_saved_with_the_configuration(tmp_path):
    features = {"type.of thing": CATEGORY, "keys": {"kind": "number"}, "a": {"kind": "vector", "size": 5}}
    SasRecConfig(item_features=features, item_id_embedding="bounded", item_id_bound=0.3).save_pretrained(tmp_path)
    loaded = SasRecConfig.from_pretrained(tmp_path)
    assert (loaded.item_features, loaded.item_id_embedding, loaded.item_id_bound) == (features, "bounded", 0.3)
    assert {"item_features", "item_id_embedding", "item_id_bound"} <= loaded.scoring_fields().keys()


def test_configurations_share_no_features():
    SasRecConfig().item_features["a"] = CATEGORY
    assert SasRecConfig().item_features == {}
