"""Metrics are shown only for the weights with which they were measured."""

import json
import warnings

import pytest
import torch

from seqrec import Recommender
from seqrec.hub.model_card import save_model_card
from seqrec.hub.saved_folder import load_record, read_protocol
from seqrec.hub.weights_hash import weights_sha256

LEFT_OUT = "was measured with different weights from those next to it, and is ignored"


@pytest.fixture
def model_type():
    return "sasrec"


@pytest.fixture
def folder(recommender, tmp_path):
    """A saved recommender with metrics that name its weights."""
    folder = tmp_path / "model"
    recommender.save_pretrained(folder)
    metrics = {
        "weights_sha256": weights_sha256(folder),
        "protocol": {"split_method": "temporal"},
        "model": {"test": {"ndcg@10": 0.5, "hr@10": 0.75, "mrr@10": 0.25}},
    }
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "training_curve.png").write_bytes(b"curve")
    return folder


def retrain(recommender, folder):
    with torch.no_grad():
        recommender.model.model.final_norm.weight += 1
    recommender.model.save_pretrained(folder)


def test_metrics_stay_with_their_weights(folder, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert set(load_record(str(folder))) == {"metrics.json", "training_curve.png"}
        assert read_protocol(str(folder)) == {"split_method": "temporal"}
        assert "0.5000" in save_model_card(folder).read_text()
        Recommender.from_pretrained(folder).save_pretrained(tmp_path / "again")
        assert set(load_record(str(tmp_path / "again"))) == {"metrics.json", "training_curve.png"}
        assert "0.5000" in (tmp_path / "again" / "README.md").read_text()


def test_a_model_saved_over_another_does_not_take_its_metrics(folder, recommender):
    retrain(recommender, folder)
    with pytest.warns(UserWarning, match=LEFT_OUT):
        assert load_record(str(folder)) == {}
    with pytest.warns(UserWarning, match=LEFT_OUT):
        assert read_protocol(str(folder)) == {}
    with pytest.warns(UserWarning, match=LEFT_OUT):
        card = save_model_card(folder).read_text()
    assert "0.5000" not in card
    assert "## Results" not in card
    assert "training_curve" not in card
    with pytest.warns(UserWarning, match=LEFT_OUT):
        assert Recommender.from_pretrained(folder).record == {}


def test_metrics_that_name_no_weights_are_believed(folder, recommender):
    metrics = json.loads((folder / "metrics.json").read_text())
    del metrics["weights_sha256"]
    (folder / "metrics.json").write_text(json.dumps(metrics))
    retrain(recommender, folder)
    assert set(load_record(str(folder))) == {"metrics.json", "training_curve.png"}


@pytest.mark.parametrize("content", ["{nope", "[]", '{"a":' * 100_000, ""], ids=len)
def test_a_broken_record_hinders_saving_alone(folder, tmp_path, content):
    (folder / "metrics.json").write_text(content)
    recommender = Recommender.from_pretrained(folder)
    assert recommender.recommend(["item 5"])
    with pytest.raises(ValueError, match=r"^[^\n]*metrics\.json [^\n]*$"):
        recommender.save_pretrained(tmp_path / "again")


def test_a_hash_of_a_wrong_type_is_that_of_no_weights(folder):
    (folder / "metrics.json").write_text('{"weights_sha256": 5}')
    with pytest.warns(UserWarning, match=LEFT_OUT):
        assert Recommender.from_pretrained(folder).record == {}
