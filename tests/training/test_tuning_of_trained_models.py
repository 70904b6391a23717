"""A search whose trials begin with a trained model: one to fine-tune, or one of another catalogue."""

import polars as pl
import pytest

import seqrec
from seqrec import Recommender
from seqrec.errors import InputError
from seqrec.interactions.synthetic import synthetic_interactions

TINY = {"hidden_size": 8, "num_attention_heads": 1, "num_hidden_layers": 1, "intermediate_size": 16}
SHORT = {"num_train_epochs": 1, "quiet": True}


@pytest.fixture(scope="module")
def frame():
    frame = synthetic_interactions(num_users=120, num_items=30, num_tastes=2, mean_length=6)
    return frame.with_columns(pl.col("item_id").cast(pl.String))


@pytest.fixture(scope="module")
def items(frame):
    item_ids = frame["item_id"].unique().sort()
    colours = [("red", "blue", "green")[row % 3] for row in range(len(item_ids))]
    return pl.DataFrame({"item_id": item_ids, "title": "Title of " + item_ids, "colour": colours})


@pytest.fixture(scope="module")
def with_features(frame, items, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "first"
    seqrec.train(frame, items=items, item_features=["colour"], output_dir=folder, **TINY, **SHORT)
    return folder


def test_new_items_are_added_to_a_model_to_fine_tune(frame, items, with_features, tmp_path):
    """Each trial begins with the weights of the model, and with the new items, also in other processes."""
    place = pl.int_range(pl.len())
    newer = frame.with_columns(item_id=pl.when(place % 9 == 0).then(pl.lit("new")).otherwise(pl.col("item_id")))
    table = pl.concat([items, pl.DataFrame({"item_id": ["new"], "title": ["New"], "colour": ["red"]})])
    start = Recommender.from_pretrained(with_features)
    call = {"trials": 2, "learning_rate": 1e-9, "search": ["hidden_dropout"], "model_name_or_path": with_features}
    found = [
        seqrec.tune(newer, items=table, processes=number, output_dir=tmp_path / str(number), **call, **SHORT)
        for number in (1, 2)
    ]
    for tuned, number in zip(found, (1, 2), strict=True):
        assert tuned.item_ids == [*start.item_ids, "new"]
        assert tuned.features == start.features
        trials = pl.read_parquet(tmp_path / str(number) / "trials.parquet")
        assert trials["state"].to_list() == ["complete"] * 2
        weights = [one.model.state_dict() for one in (tuned, start)]
        name = next(one for one in weights[1] if ".layers." in one)
        assert (weights[0][name] - weights[1][name]).abs().max() < 1e-6
        kept = sorted(path.name for path in (tmp_path / str(number) / "tuning").iterdir())
        assert kept == ["best.safetensors", "journal.log", "plan.json"]
        loaded = Recommender.from_pretrained(tmp_path / str(number))
        assert loaded.item_ids == tuned.item_ids
    values = [tuned.metrics["tuning"]["defaults"] for tuned in found]
    assert values[0] == pytest.approx(values[1], abs=1e-9)


def test_a_model_of_ids_is_fine_tuned(frame, tmp_path):
    seqrec.train(frame, output_dir=tmp_path / "first", **TINY, **SHORT)
    tuned = seqrec.tune(frame, trials=2, model_name_or_path=tmp_path / "first", output_dir=tmp_path / "second", **SHORT)
    assert tuned.model.config.hidden_size == 8
    settings = pl.read_parquet(tmp_path / "second" / "trials.parquet").columns
    assert "hidden_dropout" in settings
    assert "hidden_size" not in settings
    assert (tmp_path / "second" / "config.json").is_file()


def test_each_trial_starts_with_a_model_of_another_catalogue(frame, items, with_features, tmp_path, caplog):
    others = frame.with_columns(item_id="other " + pl.col("item_id"))
    table = items.with_columns(item_id="other " + pl.col("item_id"))
    tuned = seqrec.tune(
        others,
        items=table,
        item_features=["colour"],
        trials=2,
        init_from=with_features,
        learning_rate=1e-9,
        output_dir=tmp_path / "second",
        **SHORT,
    )
    assert sum(message.startswith("Reused from") for message in caplog.messages) == 1
    assert tuned.model.config.hidden_size == 8
    searched = pl.read_parquet(tmp_path / "second" / "trials.parquet").columns
    assert {"hidden_dropout", "logit_scale", "item_id_embedding"} <= {*searched}
    assert not {"hidden_size", "num_hidden_layers", "position_embedding_type"} & {*searched}
    assert f"init_from: {with_features}" in (tmp_path / "second" / "recipe.yaml").read_text()
    start = Recommender.from_pretrained(with_features).model.state_dict()
    weights = tuned.model.state_dict()
    network = [name for name in start if ".layers." in name]
    assert network
    assert all((weights[name] - start[name]).abs().max() < 1e-6 for name in network)


def test_only_one_start(frame, with_features):
    with pytest.raises(InputError, match="Both model_name_or_path="):
        seqrec.tune(frame, trials=1, model_name_or_path=with_features, init_from=with_features)
