"""New items of models that read item features, and the features next to saved models."""

import json

import numpy as np
import polars as pl
import pytest
import torch

from seqrec import AutoModelForNextItem, Catalogue, ItemTokenizer, Recommender
from seqrec.errors import InputError, SavedFolderError
from seqrec.hub.card_features import features_table
from seqrec.hub.product_files import product_files
from seqrec.interactions.item_features import ItemFeatures
from seqrec.modeling.modeling_auto import MODEL_TYPES
from seqrec.testing.tiny_inputs import NUM_ITEMS, TINY

HISTORIES = [["item 5", "item 9", "item 7"], ["item 1"], [f"item {index}" for index in range(30)]]
VECTORS = np.random.default_rng(0).normal(size=(NUM_ITEMS, 5)).round(3)


@pytest.fixture(scope="module")
def table():
    """A table of the items, in which each feature is missing for some."""
    genres = ["War|Drama", "Comedy", "Drama", None, "Comedy|War|Drama"]
    return pl.DataFrame(
        {
            "item_id": [f"item {index}" for index in range(NUM_ITEMS)],
            "title": [f"Title of item {index}" for index in range(NUM_ITEMS)],
            "genres": [genres[index % 5] for index in range(NUM_ITEMS)],
            "year": [None if index % 7 == 3 else 1950 + index for index in range(NUM_ITEMS)],
            "look": [None if index % 9 == 3 else VECTORS[index].tolist() for index in range(NUM_ITEMS)],
        }
    )


@pytest.fixture(scope="module")
def features(table):
    return ItemFeatures.fit(table, "genres,year,look")


@pytest.fixture(params=["sasrec", "bert4rec"])
def model_type(request):
    return request.param


@pytest.fixture(params=["free", "bounded", "none"])
def id_embedding(request):
    return request.param


@pytest.fixture
def recommender(model_type, id_embedding, table, features):
    config = MODEL_TYPES[model_type](
        vocab_size=NUM_ITEMS + 3,
        item_features=features.config_entry(),
        item_id_embedding=id_embedding,
        initializer_range=0.5,
        **TINY,
    )
    torch.manual_seed(0)
    model = AutoModelForNextItem.from_config(config).eval()
    torch.nn.init.normal_(model.model.item_encoder.weight)  # bounded ones start at 0
    model.set_feature_values(features.values(table))
    items = table.select("item_id", "title", count=pl.int_range(NUM_ITEMS, 0, -1))
    return Recommender(model, ItemTokenizer.from_item_ids(table["item_id"]), items, features=features)


NEW = pl.DataFrame(
    {
        "item_id": ["x", "y"],
        "title": ["Xaver", "Yvonne"],
        "genres": ["Drama|Comedy", None],
        "year": [None, 2001],
        "look": [VECTORS[3].tolist(), None],
    }
)


def scores(recommender):
    k = len(recommender.items)
    together = recommender.recommend(HISTORIES, k, exclude_seen=False)
    alone = [recommender.recommend(history, k, exclude_seen=False) for history in HISTORIES]
    return [{one.item_id: one.score for one in found} for found in [*together, *alone]]


def require_same(after, before):
    for found, earlier in zip(after, before, strict=True):
        assert {item_id: found[item_id] for item_id in earlier} == earlier


def test_known_items_keep_their_scores_and_new_ones_have_some(recommender, features, tmp_path):
    before, similar = scores(recommender), recommender.similar_items("item 3", NUM_ITEMS - 1)
    recommender.save_pretrained(tmp_path / "old")
    recommender.add_items(NEW)
    after = scores(recommender)
    require_same(after, before)
    assert all(np.isfinite([found["x"], found["y"]]).all() and found["x"] != found["y"] for found in after)
    assert [one for one in recommender.similar_items("item 3", NUM_ITEMS + 1) if one.item_id not in "xy"] == similar
    recommender.save_pretrained(tmp_path / "new")
    old, new = (Recommender.from_pretrained(tmp_path / name, device="cpu") for name in ("old", "new"))
    require_same(scores(old), before)
    require_same(scores(new), after)
    assert new.features == old.features == features
    assert new.items.titles[-2:] == ["Xaver", "Yvonne"]


def test_the_vector_of_a_new_item_is_that_of_its_features(recommender, table, id_embedding):
    """Made anew with all items at once, a model gives the new ones the same vectors, up to their ids."""
    recommender.add_items(NEW)
    config = recommender.model.config
    naive = AutoModelForNextItem.from_config(config).eval()
    weights = {
        name: tensor for name, tensor in recommender.model.state_dict().items() if not name.endswith("values_VF")
    }
    naive.load_state_dict(weights, strict=False)
    everything = pl.concat([table, NEW])
    naive.set_feature_values(recommender.features.values(everything))
    torch.testing.assert_close(recommender.model.item_vectors(), naive.item_vectors())
    if id_embedding != "none":
        assert not recommender.model.get_input_embeddings().weight[-2:].any()


def test_a_copy_of_an_item_is_scored_like_it_up_to_its_id(recommender, table, id_embedding):
    copy = table[[10]].with_columns(item_id=pl.lit("copy"))
    twin = copy.with_columns(item_id=pl.lit("twin"), similar_to=pl.lit("item 10"))
    recommender.add_items(copy)
    recommender.add_items(twin)
    for found in scores(recommender):
        assert found["twin"] == found["item 10"]
        assert (found["copy"] == found["item 10"]) == (id_embedding == "none")


def test_similar_items_are_wanted_of_no_item(recommender, id_embedding):
    vectors = recommender.model.get_input_embeddings().weight.detach().clone()
    recommender.add_items(NEW.with_columns(similar_to=pl.Series(["item 3|item 4", None])))
    if id_embedding != "none":
        x, y = recommender.model.get_input_embeddings().weight[-2:]
        torch.testing.assert_close(x, vectors[[6, 7]].mean(dim=0))
        assert not y.any()


def test_new_values_of_categories_are_told_and_read_as_unknown(recommender, table):
    new = table[[0]].with_columns(item_id=pl.lit("x"), genres=pl.lit("Polka"))
    with pytest.warns(UserWarning, match=r"1 values of genres.*\(first: 'Polka' of item 'x'\)\..* count as unknown"):
        recommender.add_items(new)
    values = recommender.model.model.item_encoder.features.parts[0].values_VF
    assert values[-1].tolist() == [2, 0, 0]


WRONG = {
    "no column": (NEW.drop("year"), "The items have no column year, which the model reads (genres, year, look)"),
    "bare": (NEW.with_columns(year=None), "1 of 2 new items have no value of any feature that the model reads"),
    "known": (NEW.with_columns(item_id=pl.Series(["x", "item 4"])), "already in the catalogue (first: 'item 4')"),
    "infinite": (NEW.with_columns(year=float("inf")), "2 of 2 items have an infinite year (first: item 'x')"),
    "width": (NEW.with_columns(look=pl.lit([1.0, 2.0])), "have a vector look of another width than 5"),
    "NaN": (NEW.with_columns(look=pl.lit([1.0, float("nan"), 0, 0, 0])), "a vector look that is partly NaN"),
    "words": (NEW.with_columns(year=pl.lit("long ago")), "year"),
    "unknown": (NEW.with_columns(similar_to=pl.lit("item 3|z")), "2 of 4 ids in similar_to are of no known item"),
}  # fmt: skip


@pytest.mark.parametrize(("new", "message"), WRONG.values(), ids=WRONG)
def test_unusable_tables_change_nothing(recommender, new, message, id_embedding):
    if "similar_to" in new.columns and id_embedding == "none":
        pytest.skip("ids have no vectors")
    before, weights = scores(recommender), {**recommender.model.state_dict()}
    with pytest.raises(InputError) as told:
        recommender.add_items(new)
    assert message in str(told.value)
    assert "\n" not in str(told.value)
    assert len(recommender.items) == len(recommender.tokenizer.item_ids) == NUM_ITEMS
    assert all(tensor is weights[name] or torch.equal(tensor, weights[name]) for name, tensor in weights.items())
    assert scores(recommender) == before


class TestSaved:
    """The features next to a saved model; one architecture will do."""

    @pytest.fixture
    def model_type(self):
        return "sasrec"

    @pytest.fixture
    def id_embedding(self):
        return "bounded"

    def test_the_card_tells_how_many_items_have_each_feature(self, recommender, table, features, tmp_path):
        recommender.add_items(NEW)
        recommender.save_pretrained(tmp_path)
        missing = features.is_missing(features.values(pl.concat([table, NEW])))
        card = (tmp_path / "README.md").read_text(encoding="utf-8")
        for spec, described in zip(
            features.specs, ("3 values, 1–3 per item", "1950 to 2001", "5 numbers"), strict=True
        ):
            (line,) = [line for line in card.splitlines() if line.startswith(f"| `{spec.name}` | {spec.kind} |")]
            assert described in line
            assert f"| {NUM_ITEMS + 2 - missing[spec.name].sum()} of {NUM_ITEMS + 2} |" in line
        assert "made of its features and a short embedding of its id" in card
        assert "the items' features (genres, look, year)" in card
        assert "adds new items by their features" in card
        assert "`item_id_bound` | `0.5`" in card

    def test_without_features_a_card_mentions_none(self, recommender, tmp_path):
        config = MODEL_TYPES["sasrec"](vocab_size=NUM_ITEMS + 3, **TINY)
        bare = Recommender(AutoModelForNextItem.from_config(config), recommender.tokenizer, recommender.items)
        recommender.save_pretrained(tmp_path)
        bare.save_pretrained(tmp_path)
        assert not (tmp_path / "item_features.json").exists()
        card = (tmp_path / "README.md").read_text(encoding="utf-8")
        assert not any(words in card for words in ("Item feature", "its features", "their features", "items' features"))
        assert "item_id_embedding" not in card
        assert Recommender.from_pretrained(tmp_path).features is None

    def test_features_are_shared(self, recommender, tmp_path):
        recommender.save_pretrained(tmp_path)
        assert "item_features.json" in {path.name for path in product_files(tmp_path)}

    def test_a_model_saved_without_them_scores_but_takes_no_new_items(self, recommender, tmp_path):
        recommender.save_pretrained(tmp_path)
        (tmp_path / "item_features.json").unlink()
        loaded = Recommender.from_pretrained(tmp_path, device="cpu")
        require_same(scores(loaded), scores(recommender))
        with pytest.raises(InputError, match=r"\(genres, look, year\), but was saved without item_features\.json"):
            loaded.add_items(NEW)
        assert features_table(tmp_path, loaded.model.config.to_dict()) == ""

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("{", "does not hold item features"),
            ('{"item_features": [{"name": "a", "kind": "colour"}]}', "does not hold item features"),
            ('{"item_features": []}', "does not describe the item features of config.json: none instead of genres"),
            (b"\xff", "cannot be read"),
        ],
    )
    def test_broken_features_are_named(self, recommender, content, message, tmp_path):
        recommender.save_pretrained(tmp_path)
        content = content if isinstance(content, bytes) else content.encode()
        (tmp_path / "item_features.json").write_bytes(content)
        with pytest.raises(SavedFolderError) as told:
            Recommender.from_pretrained(tmp_path)
        assert "item_features.json" in str(told.value)
        assert message in str(told.value)
        assert "\n" not in str(told.value)

    def test_features_of_another_model_are_refused(self, recommender, table):
        others = ItemFeatures.fit(table, "year")
        with pytest.raises(InputError, match=r"The features \(year\) are not those that the model reads \(genres"):
            Recommender(recommender.model, recommender.tokenizer, recommender.items, features=others)

    def test_items_and_metadata_are_those_of_the_new_catalogue(self, recommender, tmp_path):
        recommender.add_items(NEW)
        recommender.save_pretrained(tmp_path)
        assert json.loads((tmp_path / "config.json").read_text())["vocab_size"] == NUM_ITEMS + 5
        assert Catalogue.load(tmp_path / "items.parquet").counts.tolist()[-2:] == [0, 0]


def test_another_catalogue_is_scored_by_its_features(recommender, table, id_embedding, tmp_path):
    other = table[20:30].with_columns(item_id="other " + pl.col("item_id"))
    if id_embedding != "none":
        with pytest.raises(InputError, match=r"add_items.*--init_from") as told:
            recommender.with_catalogue(other)
        assert "\n" not in str(told.value)
        return
    before = scores(recommender)
    found = recommender.with_catalogue(other)
    assert found.item_ids == other["item_id"].to_list()
    assert found.items.titles == other["title"].to_list()
    assert not found.items.counts.any()
    history = ["item 22", "item 29", "item 25"]
    expected = recommender.recommend(history, NUM_ITEMS, exclude_seen=False)
    expected = {f"other {one.item_id}": one.score for one in expected}
    for one in found.recommend([f"other {item}" for item in history], 10, exclude_seen=False):
        assert one.score == expected[one.item_id]
    found.save_pretrained(tmp_path / "other")
    loaded = Recommender.from_pretrained(tmp_path / "other", device="cpu")
    assert torch.equal(loaded.model.item_vectors(), found.model.item_vectors())
    require_same(scores(recommender), before)
    with pytest.raises(InputError, match="The items have no column year"):
        recommender.with_catalogue(other.drop("year"))


def test_another_catalogue_has_no_recent_interactions(table, features):
    config = MODEL_TYPES["sasrec"](
        vocab_size=NUM_ITEMS + 3,
        item_features=features.config_entry(),
        item_id_embedding="none",
        popularity_windows=[7],
        **TINY,
    )
    model = AutoModelForNextItem.from_config(config).eval()
    model.set_feature_values(features.values(table))
    model.set_events(np.arange(3, 43), np.full(40, 1e9))
    items = table.select("item_id", count=pl.lit(1))
    recommender = Recommender(model, ItemTokenizer.from_item_ids(table["item_id"]), items, features=features)
    found = recommender.with_catalogue(table[4:])
    assert torch.equal(found.model.item_vectors()[3:], model.item_vectors()[7:])
    assert not found.model.recent_counts.latest_VW.any()
    assert model.recent_counts.latest_VW.any()
