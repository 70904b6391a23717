"""The training record is kept when a recommender is saved again."""

import json

import pytest
import torch
from huggingface_hub import ModelCard

from seqrec import Recommender
from seqrec.errors import InputError


@pytest.fixture
def folder(recommender, tmp_path):
    """A saved recommender with the metrics and the curve of a training."""
    folder = tmp_path / "first"
    recommender.save_pretrained(folder)
    metrics = {"protocol": {"dataset": "films"}, "model": {"test": {"ndcg@10": 0.25}}}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "training_curve.png").write_bytes(b"a picture")
    (folder / "slices.png").write_bytes(b"another picture")
    (folder / "item_map.png").write_bytes(b"a third picture")
    return folder


def test_record_and_card_are_saved_along(folder, tmp_path):
    Recommender.from_pretrained(folder).save_pretrained(tmp_path / "second")
    for name in ("metrics.json", "training_curve.png", "slices.png", "item_map.png"):
        assert (tmp_path / "second" / name).read_bytes() == (folder / name).read_bytes()
    card = ModelCard.load(tmp_path / "second" / "README.md")
    assert [result.metric_value for result in card.data.eval_results] == [0.25]
    assert "![Loss and validation metric by epoch](training_curve.png)" in card.text


def test_saving_over_a_model_takes_its_record_away(folder, recommender):
    (folder / "notes.txt").write_text("mine")
    recommender.save_pretrained(folder)
    record = {"metrics.json", "training_curve.png", "slices.png", "item_map.png"}
    assert not record & {path.name for path in folder.iterdir()}
    assert (folder / "notes.txt").read_text() == "mine"
    assert ModelCard.load(folder / "README.md").data.eval_results is None
    assert "# first" in (folder / "README.md").read_text()


def test_a_save_that_fails_leaves_the_old_model(folder, recommender, monkeypatch):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def fail(*args, **kwargs):
        raise OSError("No space left on device")

    monkeypatch.setattr("pyarrow.parquet.write_table", fail)
    with pytest.raises(InputError, match=r"items\.parquet.* could not be written: No space left"):
        recommender.save_pretrained(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_saving_over_shards_or_as_shards_loads_the_new_weights(folder, recommender):
    history = ["item 5", "item 9"]
    recommender.model.save_pretrained(folder, max_shard_size="2kB")
    (folder / "model.safetensors").unlink(missing_ok=True)
    with torch.no_grad():
        recommender.model.get_input_embeddings().weight.mul_(-1)
    again = Recommender(recommender.model, recommender.tokenizer, recommender.items)
    again.save_pretrained(folder)
    assert not list(folder.glob("model-*"))
    assert Recommender.from_pretrained(folder).recommend(history) == again.recommend(history)


def test_a_recommender_of_parts_has_a_card_without_a_record(recommender, tmp_path):
    recommender.save_pretrained(tmp_path)
    assert not (tmp_path / "metrics.json").exists()
    assert ModelCard.load(tmp_path / "README.md").data.eval_results is None


def test_a_broken_record_is_named(folder, tmp_path):
    (folder / "metrics.json").write_text("{")
    recommender = Recommender.from_pretrained(folder)  # whose recommendations need it not
    with pytest.raises(ValueError, match=r"metrics\.json is not valid JSON"):
        recommender.save_pretrained(tmp_path / "second")
