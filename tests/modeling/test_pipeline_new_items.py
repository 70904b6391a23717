"""New items in the pipeline, with and without seqrec."""

import json
import os
import subprocess
import sys

import numpy as np
import polars as pl
import pytest
import torch
from transformers import pipeline

from seqrec import AutoModelForNextItem, Catalogue, ItemTokenizer, Recommender
from seqrec.errors import InputError
from seqrec.interactions.item_features import ItemFeatures
from seqrec.modeling.modeling_auto import MODEL_TYPES
from seqrec.testing.tiny_inputs import NUM_ITEMS, TINY

TASK = "next-item-recommendation"
LOOKS = np.random.default_rng(0).normal(size=(NUM_ITEMS, 5)).round(3)
TABLE = pl.DataFrame(
    {
        "item_id": [f"item {row}" for row in range(NUM_ITEMS)],
        "genres": [("War|Drama", "Comedy", "Drama")[row % 3] for row in range(NUM_ITEMS)],
        "year": [None if row % 7 == 3 else 1950 + row for row in range(NUM_ITEMS)],
        "look": LOOKS.tolist(),
    }
)
NEW = [
    {"item_id": "x", "title": "Xaver", "genres": ["Drama", "Comedy"], "year": 1999, "look": [1, 2, 3, 4, 5]},
    {"item_id": "y", "genres": "War", "year": None, "look": None, "similar_to": "item 3|item 4"},
]
HISTORY = ["item 5", "x", "item 9"]
ASKED = {"top_k": NUM_ITEMS + 2, "exclude_seen": False}


def save_model(folder, model_type="sasrec", **fields):
    """Save a model with random weights; one without features if `item_id_embedding` is not given."""
    features = ItemFeatures.fit(TABLE, "genres,year,look") if fields else None
    fields |= {} if features is None else {"item_features": features.config_entry()}
    torch.manual_seed(0)
    config = MODEL_TYPES[model_type](vocab_size=NUM_ITEMS + 3, initializer_range=0.5, **fields, **TINY)
    model = AutoModelForNextItem.from_config(config).eval()
    if features is not None:
        model.set_feature_values(features.values(TABLE))
    items = Catalogue(TABLE.select("item_id", count=pl.int_range(NUM_ITEMS, 0, -1)))
    Recommender(model, ItemTokenizer.from_item_ids(TABLE["item_id"]), items, features=features).save_pretrained(folder)
    return folder


def expected_answers(folder):
    """The answers of a recommender to which the same items were added, as the pipeline gives them."""
    recommender = Recommender.from_pretrained(folder, device="cpu")
    new = pl.DataFrame(NEW[:1]).with_columns(pl.col("look").cast(pl.List(pl.Float64)))
    other = pl.DataFrame(
        {**NEW[1], "genres": [["War"]]}, schema_overrides={"look": pl.List(pl.Float64), "year": pl.Int64}
    )
    recommender.add_items(pl.concat([new, other], how="diagonal"))
    found = recommender.recommend(HISTORY, ASKED["top_k"], exclude_seen=False)
    return [{"item_id": one.item_id, "score": one.score, "title": one.title} for one in found]


@pytest.mark.parametrize("model_type", MODEL_TYPES)
@pytest.mark.parametrize("id_embedding", ["free", "none"])
def test_scores_are_those_of_the_recommender(model_type, id_embedding, tmp_path):
    folder = save_model(tmp_path / "model", model_type, item_id_embedding=id_embedding)
    pipe = pipeline(TASK, model=folder, device="cpu")
    before = {one["item_id"]: one["score"] for one in pipe(["item 5", "item 9"], top_k=NUM_ITEMS)}
    pipe.add_items(NEW)
    answers = pipe(HISTORY, **ASKED)
    assert answers == expected_answers(folder)
    after = {one["item_id"]: one["score"] for one in pipe(["item 5", "item 9"], **ASKED)}
    assert {item_id: after[item_id] for item_id in before} == before
    pipe.save_pretrained(tmp_path / "saved")
    assert pipeline(TASK, model=tmp_path / "saved", device="cpu")(HISTORY, **ASKED) == answers
    loaded = Recommender.from_pretrained(tmp_path / "saved", device="cpu")
    assert loaded.item_ids[-2:] == ["x", "y"]
    loaded.add_items(TABLE[:1].with_columns(item_id=pl.lit("z")))


def test_columns_and_repeated_calls_give_the_same(tmp_path):
    folder = save_model(tmp_path / "model", item_id_embedding="none")
    first, second = (pipeline(TASK, model=folder, device="cpu") for _ in range(2))
    first.add_items({name: [row.get(name) for row in NEW] for name in NEW[0]})
    for row in NEW:
        second.add_items([row])
    assert first(HISTORY, **ASKED) == second(HISTORY, **ASKED)


def test_ids_alone_need_similar_items(tmp_path):
    pipe = pipeline(TASK, model=save_model(tmp_path / "model"), device="cpu")
    with pytest.raises(InputError, match="knows items by their ids alone"):
        pipe.add_items([{"item_id": "x"}])
    pipe.add_items([{"item_id": "x", "similar_to": ["item 3"]}])
    scores = {one["item_id"]: one["score"] for one in pipe(["item 5"], top_k=NUM_ITEMS + 1, exclude_seen=False)}
    assert scores["x"] == scores["item 3"]


WRONG = {
    "known": ([{"item_id": "item 4"}], "1 of 1 items are already in the catalogue (first: 'item 4')"),
    "twice": ([NEW[0], NEW[0]], "1 items are given more than once (first: 'x')"),
    "special": ([{**NEW[0], "item_id": "<|pad|>"}], "An item id is '<|pad|>', which no item can have"),
    "no id": ([{"year": 1}], "The items have no 'item_id'. They have: year"),
    "no column": ([{"item_id": "x", "genres": "War"}], "The items have no column year, which the model reads"),
    "bare": ([{**NEW[1], "genres": None}], "1 of 1 new items have no value of any feature that the model reads"),
    "unknown": ([{**NEW[1], "similar_to": "z"}], "1 of 1 ids in similar_to are of no known item (first: 'z'"),
    "text": ("x", "Items are a list of dictionaries, one for each item, or a dictionary of columns, but 'x' was"),
    "lengths": ({"item_id": ["x"], "year": [1, 2]}, "The columns of the items differ in length"),
}


def test_unusable_items_change_nothing(tmp_path):
    pipe = pipeline(TASK, model=save_model(tmp_path / "model", item_id_embedding="free"), device="cpu")
    before = pipe(["item 5"], top_k=NUM_ITEMS, exclude_seen=False)
    for items, message in WRONG.values():
        with pytest.raises(InputError) as told:
            pipe.add_items(items)
        assert message in str(told.value)
        assert "\n" not in str(told.value)
        assert pipe(["item 5"], top_k=NUM_ITEMS, exclude_seen=False) == before


STRANGER = """
import json, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("seqrec", "polars", "pyarrow", "datasets"):
            raise ImportError(name)

sys.meta_path.insert(0, Absent())
from transformers import pipeline

pipe = pipeline("next-item-recommendation", model=sys.argv[1], trust_remote_code=True, device="cpu")
pipe.add_items(json.loads(sys.argv[2]))
print(json.dumps(pipe(json.loads(sys.argv[3]), **json.loads(sys.argv[4]))))
"""


def test_without_seqrec_scores_are_the_same(tmp_path):
    folder = save_model(tmp_path / "model", item_id_embedding="bounded")
    environment = {**os.environ, "HF_MODULES_CACHE": str(tmp_path / "modules"), "OMP_NUM_THREADS": "1"}
    asked = [json.dumps(one) for one in (NEW, HISTORY, ASKED)]
    command = [sys.executable, "-c", STRANGER, str(folder), *asked]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1]) == expected_answers(folder)
