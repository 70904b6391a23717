"""Training with item features, from a table of items to a saved, fine-tuned and extended model."""

import json

import polars as pl
import pytest
import torch

import seqrec
from seqrec import Recommender, SequentialTrainer, SequentialTrainingArguments
from seqrec.errors import InputError
from seqrec.interactions.data_arguments import DataArguments
from seqrec.interactions.item_features import ItemFeatures
from seqrec.interactions.preparation import prepare
from seqrec.interactions.synthetic import synthetic_interactions

TINY = {"hidden_size": 16, "intermediate_size": 32, "max_position_embeddings": 12}
SHORT = {"num_train_epochs": 1, "disable_tqdm": True, "quiet": True, "use_cpu": True}


@pytest.fixture(scope="module")
def interactions():
    return synthetic_interactions(num_users=60, num_items=40, num_tastes=4, mean_length=8, seed=3)


@pytest.fixture(scope="module")
def items(interactions):
    """A table of all items and of three that nobody took."""
    known = interactions["item_id"].unique().sort().cast(pl.String).to_list()
    item_ids = [*known, "cold 1", "cold 2", "cold 3"]
    return pl.DataFrame(
        {
            "item_id": item_ids,
            "title": [f"Title of {item_id}" for item_id in item_ids],
            "colour": [
                None if row % 8 == 5 else ("red|blue", "blue", "green")[row % 3] for row in range(len(item_ids))
            ],
            "price": [None if row % 9 == 4 else 1.5 * row for row in range(len(item_ids))],
        }
    )


def train(interactions, items=None, **settings):
    sizes = {} if "model_name_or_path" in settings else TINY
    return seqrec.train(interactions, items=items, **sizes, **SHORT, **settings)


@pytest.fixture(scope="module")
def folder(interactions, items, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "model"
    train(interactions, items, item_features=["colour", "price"], output_dir=folder)
    return folder


def test_a_model_reads_the_features_of_all_items(folder, items):
    recommender = Recommender.from_pretrained(folder, device="cpu")
    assert recommender.features.names == ["colour", "price"]
    assert recommender.model.config.item_features == recommender.features.config_entry()
    assert recommender.model.config.item_id_embedding == "bounded"
    assert set(recommender.item_ids) == set(items["item_id"])
    assert recommender.items.counts[-3:].tolist() == [0, 0, 0]
    in_order = pl.DataFrame({"item_id": recommender.item_ids}).join(items, "item_id", "left", maintain_order="left")
    found = recommender.model.item_vectors()
    recommender.model.set_feature_values(recommender.features.values(in_order))
    assert torch.equal(recommender.model.item_vectors(), found)


def test_trainers_save_features(folder, interactions, items, tmp_path):
    data = prepare(DataArguments(item_features="colour,price"), interactions=interactions, items=items)
    model = Recommender.from_pretrained(folder, device="cpu").model
    plain = {"eval_strategy": "no", "save_strategy": "steps", "save_steps": 1, "load_best_model_at_end": False}
    arguments = SequentialTrainingArguments(tmp_path / "out", max_steps=2, **plain, **SHORT)
    rows = {"train_dataset": data.sequences["train"], "processing_class": data.tokenizer}
    trainer = SequentialTrainer(model, arguments, **rows, features=data.features)
    trainer.train()
    trainer.save_model()
    SequentialTrainer(model, arguments, **rows).save_model(tmp_path / "loaded")  # reads those next to the model
    for path in (tmp_path / "out", tmp_path / "out" / "checkpoint-2", tmp_path / "loaded"):
        recommender = Recommender.from_pretrained(path, device="cpu")
        assert recommender.features == data.features
        recommender.add_items(items[[0]].with_columns(item_id=pl.lit("new")))
    other = ItemFeatures(data.features.specs[:1])
    with pytest.raises(InputError, match=r"The features \(colour\) are not those that the model reads"):
        SequentialTrainer(model, arguments, **rows, features=other)


def test_cold_items_are_recommended_and_measured(folder):
    recommender = Recommender.from_pretrained(folder, device="cpu")
    found = recommender.recommend(recommender.item_ids[:3], k=3, allow=["cold 1", "cold 2", "cold 3"])
    assert {one.item_id for one in found} == {"cold 1", "cold 2", "cold 3"}
    assert found[0].title == f"Title of {found[0].item_id}"
    assert set(recommender.metrics["slices"]["model"]["test"]["target_count"]) <= {"cold", "rare", "frequent"}
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "| `colour` | category | 3 values, 1–2 per item |" in card
    assert "item_features" in recommender.metrics["training"]["command"]


def test_fine_tuning_keeps_features_and_takes_no_others(folder, interactions, items, tmp_path):
    start = Recommender.from_pretrained(folder, device="cpu")
    tuned = train(interactions, model_name_or_path=folder, output_dir=tmp_path / "tuned")
    loaded = Recommender.from_pretrained(tmp_path / "tuned", device="cpu")
    assert tuned.features == loaded.features == start.features
    assert tuned.items.titles == start.items.titles
    for part, earlier in zip(
        loaded.model.model.item_encoder.features.parts, start.model.model.item_encoder.features.parts, strict=True
    ):
        assert torch.equal(part.values_VF, earlier.values_VF)
    with pytest.raises(InputError, match="has no effect on a trained model"):
        train(interactions, items, item_features="colour", model_name_or_path=folder)


def test_items_added_before_fine_tuning_may_occur_in_it(folder, interactions, items, tmp_path):
    recommender = Recommender.from_pretrained(folder, device="cpu")
    recommender.add_items(items[[0]].with_columns(item_id=pl.lit("new")))
    recommender.save_pretrained(tmp_path / "grown")
    newer = interactions.with_columns(item_id=pl.col("item_id").cast(pl.String))
    newer = newer.with_columns(
        item_id=pl.when(pl.int_range(pl.len()) % 9 == 0).then(pl.lit("new")).otherwise("item_id")
    )
    tuned = train(newer, model_name_or_path=tmp_path / "grown")
    assert tuned.items.counts[-1] > 0
    assert tuned.features == recommender.features
    assert "items_added" not in tuned.metrics


def test_a_prepared_set_keeps_its_features(interactions, items, folder, tmp_path):
    prepare(DataArguments(item_features="colour,price"), interactions=interactions, items=items).save(tmp_path / "set")
    trained = train(tmp_path / "set", item_id_embedding="bounded")
    other = Recommender.from_pretrained(folder, device="cpu")
    assert trained.features == other.features
    assert trained.item_ids == other.item_ids
    assert torch.equal(trained.model.item_vectors(), other.model.item_vectors())


def test_items_without_an_id_are_their_features(interactions, items):
    trained = train(interactions, items, item_features=("colour", "price"), item_id_embedding="none")
    twin = items.filter(item_id="cold 1").with_columns(item_id=pl.lit("twin"))
    trained.add_items(twin)
    found = {one.item_id: one.score for one in trained.recommend(trained.item_ids[:2], len(trained.items))}
    assert found["twin"] == found["cold 1"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"item_features": "colour,prise"}, "has no column 'prise' for item_features. Did you mean price?"),
        ({"item_features": {"colour": {}}}, "Give the names of columns of the items, in a list"),
        ({"item_features": "colour:number"}, "colour"),
        ({"item_id_embedding": "bounded"}, "needs item_features"),
        ({"item_id_embedding": "bonded", "item_features": "colour"}, "item_id_embedding must be one of"),
        ({"item_id_bound": -1, "item_features": "colour"}, "item_id_bound must be above 0"),
    ],
)
def test_unusable_settings_leave_nothing(interactions, items, settings, message, tmp_path):
    with pytest.raises(InputError) as told:
        train(interactions, items, output_dir=tmp_path / "model", **settings)
    assert message in str(told.value)
    assert "\n" not in str(told.value)
    assert not [*tmp_path.rglob("*.*")]


def test_models_without_features_are_saved_as_before(interactions, tmp_path):
    train(interactions, output_dir=tmp_path / "model")
    assert not (tmp_path / "model" / "item_features.json").exists()
    assert "item_features" not in json.loads((tmp_path / "model" / "metrics.json").read_text())["protocol"]
    assert Recommender.from_pretrained(tmp_path / "model").features is None


def test_fine_tuning_adds_new_items(folder, interactions, items, tmp_path, caplog):
    new = items[[0, 1, 7]].with_columns(item_id=pl.Series(["new", "newer", "cold 4"]), colour=pl.lit("green"))
    item_id = pl.col("item_id").cast(pl.String)
    place = pl.int_range(pl.len())
    newer = interactions.with_columns(
        item_id=pl.when(place % 9 == 0)
        .then(pl.lit("newer"))
        .when(place % 50 == 1)
        .then(pl.lit("new"))
        .otherwise(item_id)
    )
    start = Recommender.from_pretrained(folder, device="cpu")
    tuned = train(newer, pl.concat([new, items]), model_name_or_path=folder, output_dir=tmp_path / "tuned")
    assert "Added 3 new items to the 43 of the model." in caplog.messages
    assert tuned.item_ids == [*start.item_ids, "newer", "new", "cold 4"]
    assert tuned.items.counts[-3] > tuned.items.counts[-2] > tuned.items.counts[-1] == 0
    assert tuned.features == start.features
    expected = start.features.values(pl.concat([items, new]).filter(pl.col("item_id") == "newer"))
    found = tuned.model.model.item_encoder.features.parts[0].values_VF[-3]
    assert found.tolist() == expected["colour"][0].tolist()
    loaded = Recommender.from_pretrained(tmp_path / "tuned", device="cpu")
    assert torch.equal(loaded.model.item_vectors(), tuned.model.item_vectors())
    assert loaded.items.titles[-1] == new["title"][2]


def with_last_item(interactions, item_id):
    changed = interactions.with_columns(pl.col("item_id").cast(pl.String))
    return changed[:-1].vstack(changed[-1:].with_columns(item_id=pl.lit(item_id)))


def test_fine_tuning_refuses_items_that_cannot_be_added(folder, interactions, items, tmp_path):
    newer = with_last_item(interactions, "new")
    bare = items[[0]].with_columns(item_id=pl.lit("new"), colour=pl.lit(None), price=pl.lit(None))
    others = interactions.with_columns(item_id="x" + pl.col("item_id").cast(pl.String))
    refused = {
        "1 items in these interactions are neither in the model's vocabulary nor in a table of items (": (newer, items),
        "1 of 1 new items have no value of any feature": (newer, pl.concat([items, bare], how="vertical_relaxed")),
        "items in these interactions is in the model's vocabulary": (
            others,
            items.with_columns(item_id="x" + pl.col("item_id")),
        ),
    }
    for message, (taken, table) in refused.items():
        with pytest.raises(InputError) as told:
            train(taken, table, model_name_or_path=folder, output_dir=tmp_path / "tuned")
        assert message in str(told.value)
        assert "\n" not in str(told.value)
        assert not [*tmp_path.rglob("*.*")]


def test_models_of_ids_alone_take_no_new_items(interactions, tmp_path):
    train(interactions, output_dir=tmp_path / "model")
    first = interactions.with_columns(pl.col("item_id").cast(pl.String))
    mixed = pl.concat([first, first.with_columns(pl.col("item_id") + "x")])
    with pytest.raises(InputError, match="Fine-tuning adds items only to models that are saved with item feat"):
        train(mixed, model_name_or_path=tmp_path / "model")
