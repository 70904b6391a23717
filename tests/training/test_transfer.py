"""Models that start with the weights of a model of another catalogue."""

from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch

import seqrec
from seqrec import AutoModelForNextItem, Catalogue, ItemTokenizer, Recommender, SequentialTrainer
from seqrec.errors import InputError
from seqrec.interactions.data_arguments import DataArguments
from seqrec.interactions.item_features import ItemFeatures
from seqrec.interactions.preparation import prepare
from seqrec.interactions.synthetic import synthetic_interactions
from seqrec.modeling.modeling_auto import MODEL_TYPES
from seqrec.testing.tiny_inputs import NUM_ITEMS, TINY

SHORT = {"max_steps": 1, "learning_rate": 1e-9, "disable_tqdm": True, "quiet": True, "use_cpu": True}
SHARED = ["genres", "year", "look"]


def table_of(prefix, genres, size=5):
    """A table of items with all kinds of features."""
    random = np.random.default_rng(len(prefix))
    return pl.DataFrame(
        {
            "item_id": [f"{prefix}{row}" for row in range(NUM_ITEMS)],
            "title": [f"Title {row}" for row in range(NUM_ITEMS)],
            "genres": [genres[row % len(genres)] for row in range(NUM_ITEMS)],
            "year": [1950 + row for row in range(NUM_ITEMS)],
            "look": random.normal(size=(NUM_ITEMS, size)).tolist(),
        }
    )


OLD = table_of("old ", ["War|Drama", "Comedy", "Drama"])
NEW = table_of("new", ["Drama", "Western", "Comedy|Western"])


def save_model(folder, model_type="sasrec", wanted="genres,year,look", **fields):
    """Save a model of the old catalogue with random weights."""
    features = ItemFeatures.fit(OLD, wanted) if wanted else None
    described = {} if features is None else {"item_features": features.config_entry()}
    config = MODEL_TYPES[model_type](vocab_size=NUM_ITEMS + 3, initializer_range=0.5, **described, **TINY, **fields)
    torch.manual_seed(0)
    model = AutoModelForNextItem.from_config(config).eval()
    if features is not None:
        model.set_feature_values(features.values(OLD))
    items = Catalogue(OLD.select("item_id", count=pl.lit(1)))
    Recommender(model, ItemTokenizer.from_item_ids(OLD["item_id"]), items, features=features).save_pretrained(folder)
    return model


@pytest.fixture(scope="module")
def interactions():
    taken = synthetic_interactions(num_users=30, num_items=NUM_ITEMS, num_tastes=2, mean_length=8, seed=3)
    return taken.with_columns(item_id="new" + (taken["item_id"].rank("dense").cast(pl.Int64) - 1).cast(pl.String))


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source") / "model"
    save_model(folder, item_id_embedding="none")
    return folder


def network_of(model):
    weights = model.state_dict().items()
    return {name: weight for name, weight in weights if not name.startswith(("model.item_emb", "model.recent_counts"))}


def parts_of(model):
    return {part.name: part for part in model.model.item_encoder.features.parts}


def transfer(interactions, source, **settings):
    return seqrec.train(interactions, init_from=source, **SHORT, **settings)


@pytest.mark.parametrize("id_embedding", ["none", "bounded"])
def test_network_and_features_start_as_in_the_source(interactions, source, id_embedding, tmp_path, caplog):
    old = Recommender.from_pretrained(source, device="cpu")
    settings = {"items": NEW, "item_features": SHARED, "item_id_embedding": id_embedding, "hidden_dropout": 0.1}
    new = transfer(interactions, source, output_dir=tmp_path / "model", **settings)
    close = {"atol": 1e-6, "rtol": 0}
    torch.testing.assert_close(network_of(new.model), network_of(old.model), **close)
    parts, earlier = parts_of(new.model), parts_of(old.model)
    for name in ("year", "look"):
        torch.testing.assert_close(parts[name].projection.weight, earlier[name].projection.weight, **close)
    genres, before = new.features.specs[0].categories, old.features.specs[0].categories
    assert genres == (*before, "Western")
    weight_CD = parts["genres"].embedding.weight
    torch.testing.assert_close(weight_CD[:-1], earlier["genres"].embedding.weight, **close)
    assert weight_CD[-1].any()
    assert new.features.specs[1:] == old.features.specs[1:]
    assert new.model.config.item_id_embedding == id_embedding
    assert (new.model.config.hidden_size, new.model.config.hidden_dropout) == (TINY["hidden_size"], 0.1)
    assert "Reused item features: genres (3 values; 1 new ones are fresh); year; look." in caplog.messages
    assert any(line.startswith(f"Reused from {source}: all ") for line in caplog.messages)
    has_ids = id_embedding != "none"
    assert ("Fresh: the embeddings of item ids (another catalogue)." in caplog.messages) == has_ids
    if not has_ids:  # an item of both catalogues has the same vector
        both = NEW.filter(pl.col("genres") == "Drama")[:1].with_columns(item_id=pl.lit("both"))
        new.add_items(both)
        old.add_items(both)
        torch.testing.assert_close(new.model.item_vectors()[-1], old.model.item_vectors()[-1], atol=1e-4, rtol=1e-4)
    assert Recommender.from_pretrained(tmp_path / "model", device="cpu").features == new.features


@pytest.mark.parametrize("model_type", MODEL_TYPES)
@pytest.mark.parametrize("wanted", ["", "year"])
def test_every_architecture_gives_its_network(model_type, wanted, interactions, tmp_path):
    old = save_model(tmp_path / "old", model_type, wanted, popularity_windows=[7])
    new = transfer(interactions, tmp_path / "old")
    assert new.model.config.model_type == model_type
    torch.testing.assert_close(network_of(new.model), network_of(old), atol=1e-6, rtol=0)
    own, earlier = (model.get_input_embeddings().weight for model in (new.model, old))
    torch.testing.assert_close(own[:3], earlier[:3], atol=1e-6, rtol=0)
    assert not torch.isclose(own[3:], earlier[3:][: len(own) - 3]).all(dim=1).any()


def test_parts_that_only_one_model_has_are_fresh(interactions, tmp_path, caplog):
    old = save_model(tmp_path / "old", popularity_windows=[7])
    table = NEW.with_columns(look=pl.Series(table_of("x", ["a"], size=3)["look"]), size=pl.Series(range(NUM_ITEMS)))
    table = table.with_columns(pl.col("year") // 20)
    new = transfer(
        interactions,
        tmp_path / "old",
        items=table,
        item_features="year:category,look,size",
        popularity_windows=[1, 7],
    )
    shared = {name: weight for name, weight in network_of(old).items() if "popularity" not in name}
    found = network_of(new.model)
    torch.testing.assert_close({name: found[name] for name in shared}, shared, atol=1e-6, rtol=0)
    assert found["model.popularity_weights.weight"].shape[0] == 2
    assert (
        "Fresh: the embeddings of item ids (another catalogue); year (a category here, a number there); look (vectors "
        "of another width); size (not read by that model)."
    ) in caplog.messages
    assert any("(not popularity_weights, which it does not have)" in line for line in caplog.messages)


def test_prepared_sets_match_values_of_categories(interactions, source, tmp_path, caplog):
    prepare(DataArguments(item_features="genres,year"), interactions=interactions, items=NEW).save(tmp_path / "set")
    old, new = Recommender.from_pretrained(source, device="cpu"), transfer(tmp_path / "set", source)
    weights = {}
    for one in (old, new):
        rows = parts_of(one.model)["genres"].embedding.weight[3:]
        weights[one is new] = dict(zip(one.features.specs[0].categories, rows, strict=True))
    for value in ("Drama", "Comedy"):
        torch.testing.assert_close(weights[True][value], weights[False][value], atol=1e-6, rtol=0)
    assert "Fresh: year (prepared with another mean or standard deviation)." in caplog.messages


REFUSED = {
    "size": ({"hidden_size": 48}, "hidden_size=48 does not fit the weights of"),
    "type": ({"model_type": "bert4rec"}, "model_type='bert4rec' was given, but"),
    "twice": ({"model_name_or_path": "runs/x"}, "Both model_name_or_path='runs/x' and init_from="),
    "no features": ({}, "item_id_embedding='none' needs item_features, which are empty"),
}


@pytest.mark.parametrize(("settings", "message"), REFUSED.values(), ids=REFUSED)
def test_unusable_settings_leave_nothing(interactions, source, settings, message, tmp_path):
    with pytest.raises(InputError) as told:
        transfer(interactions, source, output_dir=tmp_path / "model", **settings)
    assert message in str(told.value)
    assert "\n" not in str(told.value)
    assert not [*tmp_path.rglob("*.*")]


def test_repositories_are_recorded_as_base_models(source):
    named = SimpleNamespace(init_from="org/name", bare_model=SimpleNamespace(name_or_path=""))
    local = SimpleNamespace(init_from=str(source), bare_model=SimpleNamespace(name_or_path=""))
    assert [SequentialTrainer.base_model.fget(trainer) for trainer in (named, local)] == ["org/name", None]
