"""The pipeline with seqrec installed; tests/hub/test_second_environment.py tests it without seqrec."""

import json
import math
import sys
import warnings
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from transformers import pipeline
from transformers.pipelines import Pipeline

from seqrec import Recommender
from seqrec.interactions.catalogue import Catalogue
from seqrec.interactions.special_tokens import SPECIAL_TOKENS
from seqrec.interactions.tokenization_items import ItemTokenizer

TASK = "next-item-recommendation"
HISTORY = ["item 5", "item 9", "item 7"]
HISTORIES = [HISTORY, ["item 1"], [f"item {index}" for index in range(30)], HISTORY[:2]]


@pytest.fixture
def folder(recommender, tmp_path):
    """A saved recommender."""
    recommender.save_pretrained(tmp_path / "saved")
    return tmp_path / "saved"


@pytest.fixture
def pipe(folder):
    """Its pipeline, without trust in its code."""
    return pipeline(TASK, model=folder, device="cpu")


def as_dicts(recommendations):
    return [{"item_id": one.item_id, "score": one.score, "title": one.title} for one in recommendations]


def test_is_seqrec_s_own_without_trust(pipe, recommender):
    assert isinstance(pipe, Pipeline)
    assert type(pipe).__module__ == "seqrec.modeling.pipeline_next_item"
    assert type(pipe.model) is type(recommender.model)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"exclude_seen": False},
        {"deny": ["item 2", "item 3"]},
        {"allow": ["item 2", "item 3", "item 9"]},
    ],
)
def test_answers_bit_for_bit_as_the_recommender(pipe, recommender, options):
    assert pipe(HISTORY, **options) == as_dicts(recommender.recommend(HISTORY, **options))
    expected = recommender.recommend(HISTORIES, k=4, **options)
    assert pipe(HISTORIES, top_k=4, **options) == [as_dicts(one) for one in expected]


def test_lists_for_each_history(pipe, recommender):
    deny = [["item 2"], ["item 3"], [], ["item 4"]]
    expected = [as_dicts(one) for one in recommender.recommend(HISTORIES, deny=deny)]
    assert pipe(HISTORIES, deny=deny) == expected
    assert pipe({"history": HISTORIES, "deny": deny}) == expected


@pytest.mark.filterwarnings("ignore:1 of . histories hold no known item")
def test_each_history_keeps_to_its_own_lists(pipe):
    """Histories share batches by their length, the longest first, and those without items have one of their own."""
    histories = [["item 1"], [], [f"item {index}" for index in range(9)], HISTORY]
    allow = [[f"item {place}" for place in range(start, 40, 4)] for start in range(4)]
    deny = [[f"item {place}" for place in range(start, 40, 3)] for start in (2, 0, 1, 0)]
    found = pipe(histories, top_k=40, allow=allow, deny=deny)
    assert [{one["item_id"] for one in answer} for answer in found] == [
        set(allow[row]) - set(deny[row]) - set(history) for row, history in enumerate(histories)
    ]


def test_a_request_s_own_lists_go_before_those_of_the_call(pipe):
    request = {"history": HISTORY, "allow": ["item 2", "item 3", "item 4"], "deny": ["item 2"]}
    found = pipe([request, {"history": HISTORY}], top_k=40, allow=["item 2", "item 8"], deny=["item 8"])
    assert [{one["item_id"] for one in answer} for answer in found] == [{"item 3", "item 4"}, {"item 2"}]


def test_requests_as_dicts_and_from_a_generator(pipe, recommender):
    requests = [{"history": HISTORY, "deny": ["item 2"]}, {"history": ["item 1"]}]
    expected = [
        as_dicts(recommender.recommend(HISTORY, k=40, deny=["item 2"])),
        as_dicts(recommender.recommend(["item 1"], k=40)),
    ]
    assert pipe(requests[0], top_k=40) == expected[0]
    assert pipe(requests, top_k=40) == expected
    assert pipe(requests, top_k=40, batch_size=2) == expected
    assert list(pipe((one for one in requests), top_k=40)) == expected
    assert list(pipe((history for history in [["item 1"]]), top_k=40)) == expected[1:]


def test_arrays_columns_and_iterators_are_histories_like_lists(pipe):
    expected = pipe(HISTORY)
    for history in (tuple(HISTORY), np.array(HISTORY), pl.Series(HISTORY), iter(HISTORY), {"history": iter(HISTORY)}):
        assert pipe(history) == expected
    assert pipe(pl.Series(HISTORIES)) == pipe(HISTORIES)


@pytest.mark.parametrize("make", [iter, set, np.array, lambda ids: (item_id for item_id in ids)])
def test_what_is_denied_is_denied_in_every_request(pipe, make):
    requests = [{"history": HISTORY}, {"history": ["item 1"]}, {"history": HISTORY}]
    deny = ["item 2", "item 3"]
    assert pipe(requests, deny=make(deny), top_k=40) == pipe(requests, deny=deny, top_k=40)
    stream = pipe((request for request in requests), deny=[make(deny)], top_k=40)
    assert list(stream) == pipe(requests, deny=deny, top_k=40)


def test_weights_that_are_not_finite_are_refused(pipe):
    embedding = pipe.model.get_input_embeddings().weight
    with torch.no_grad():
        embedding[:] = torch.nan
    with pytest.raises(ValueError, match=r"NaN or infinite numbers, so it cannot recommend"):
        pipe(HISTORY)
    with pytest.raises(ValueError, match="Item vectors of the model hold NaN"):
        type(pipe)(model=pipe.model, tokenizer=pipe.tokenizer)


def test_options_may_be_set_once(folder, recommender):
    pipe = pipeline(TASK, model=folder, device="cpu", top_k=3, deny=["item 2"])
    assert pipe(HISTORY) == as_dicts(recommender.recommend(HISTORY, k=3, deny=["item 2"]))
    assert pipe(HISTORY, top_k=2) == as_dicts(recommender.recommend(HISTORY, k=2, deny=["item 2"]))


def test_unknown_items_are_reported(pipe):
    with pytest.warns(UserWarning, match=r"2 of 4 items in this history are not in the vocabulary \(first: 'x9'\)"):
        found = pipe(["x9", *HISTORY[:2], SPECIAL_TOKENS[0]])
    assert found == pipe(HISTORY[:2])


@pytest.mark.filterwarnings("ignore:1 of 1 items in this history are not in the vocabulary")
@pytest.mark.parametrize("history", [[], ["x9"]])
def test_without_a_known_item_it_answers_by_the_catalogue_s_counts(folder, recommender, history):
    """The counts are not in the order of the token ids."""
    items = recommender.items.to_frame().with_columns(count=(pl.int_range(40) * 7) % 40)
    Catalogue(items).save(folder / "items.parquet")
    with pytest.warns(UserWarning, match="the most popular items are recommended for them"):
        found = pipeline(TASK, model=folder, device="cpu")(history, top_k=4, deny=["item 17"])
    with pytest.warns(UserWarning, match="the most popular items are recommended for them"):
        expected = Recommender.from_pretrained(folder, device="cpu").recommend(history, k=4, deny=["item 17"])
    assert [one["item_id"] for one in found] == ["item 17", "item 34", "item 11", "item 28", "item 5"][1:]
    assert found == as_dicts(expected)


def break_file(path):
    path.write_bytes(b"PAR1 nope")


def take_other_items(path):
    pl.read_parquet(path).with_columns(pl.col("item_id").reverse()).write_parquet(path)


def take_other_counts(path):
    pl.read_parquet(path).with_columns(pl.col("count").cast(pl.String)).write_parquet(path)


@pytest.mark.parametrize("spoil", [Path.unlink, break_file, take_other_items, take_other_counts])
def test_without_a_known_item_and_counts_it_answers_in_the_order_of_the_vocabulary(folder, spoil):
    spoil(folder / "items.parquet")
    with pytest.warns(UserWarning, match="items are recommended for them in token order"):
        found = pipeline(TASK, model=folder, device="cpu")([], top_k=3, deny=["item 1"])
    assert found == [{"item_id": f"item {row}", "score": pytest.approx(-math.log(40))} for row in (0, 2, 3)]


@pytest.fixture
def without_pyarrow(folder, monkeypatch):
    """An environment in which pyarrow cannot be imported, once the folder is saved."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)


@pytest.mark.usefixtures("without_pyarrow")
def test_without_pyarrow_it_reads_counts_and_titles_from_json(folder, recommender):
    (folder / "items.parquet").unlink()
    pipe = pipeline(TASK, model=folder, device="cpu")
    assert pipe(HISTORY) == as_dicts(recommender.recommend(HISTORY))
    with pytest.warns(UserWarning, match="the most popular items are recommended for them"):
        assert [one["title"] for one in pipe([], top_k=2)] == ["Title of item 0", "Title of item 1"]


def change(**entries):
    def spoil(path):
        path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))

    return spoil


SPOILT_JSON = {
    "missing": Path.unlink,
    "no JSON": lambda path: path.write_bytes(b"\xff{"),
    "too deep": lambda path: path.write_text("[" * 100_000),
    "a list": lambda path: path.write_text("[]"),
    "empty": lambda path: path.write_text("{}"),
    "other items": change(item_ids_sha256="0" * 64),
    "too few counts": change(count=[1]),
    "a negative count": change(count=[-1] * 40),
    "fractions": change(count=[0.5] * 40),
    "texts": change(count=["1"] * 40),
    "uneven": change(count=[[1], *[1] * 39]),
    "too large": change(count=[2**80] * 40),
    "no list of counts": change(count=5),
    "too few titles": change(title=["a"]),
    "numbers as titles": change(title=[1] * 40),
    "no list of titles": change(title="x" * 40),
}


@pytest.mark.usefixtures("without_pyarrow")
@pytest.mark.parametrize("name", SPOILT_JSON)
def test_without_pyarrow_a_broken_json_is_left_out(folder, name):
    SPOILT_JSON[name](folder / "items.json")
    with pytest.warns(UserWarning, match="items are recommended for them in token order"):
        found = pipeline(TASK, model=folder, device="cpu")([], top_k=2)
    assert found == [{"item_id": f"item {row}", "score": pytest.approx(-math.log(40))} for row in (0, 1)]


@pytest.mark.parametrize("has_pyarrow", [True, False])
@pytest.mark.parametrize("titles", [None, [None] * 40, [None, "One", *[None] * 38]])
def test_titles_may_be_unknown(recommender, tmp_path, monkeypatch, titles, has_pyarrow):
    items = recommender.items.to_frame().drop("title")
    if titles is not None:
        items = items.with_columns(title=pl.Series(titles, dtype=pl.String))
    Recommender(recommender.model, recommender.tokenizer, items).save_pretrained(tmp_path)
    if not has_pyarrow:
        monkeypatch.setitem(sys.modules, "pyarrow", None)
    found = pipeline(TASK, model=tmp_path, device="cpu")(HISTORY, allow=["item 0", "item 1"])
    assert {one["item_id"]: one.get("title", "no such key") for one in found} == {
        "item 0": "no such key" if titles is None or not any(titles) else None,
        "item 1": "no such key" if titles is None or not any(titles) else "One",
    }


def test_titles_of_any_script_and_layout_survive(recommender, tmp_path, monkeypatch):
    titles = ["日本", 'say "hi"', "a\nb\u2028c", " ", "", *[f"T{row}" for row in range(35)]]
    items = recommender.items.to_frame().with_columns(title=pl.Series(titles))
    Recommender(recommender.model, recommender.tokenizer, items).save_pretrained(tmp_path)
    expected = {f"item {row}": title for row, title in enumerate(titles)}
    for _ in range(2):
        found = pipeline(TASK, model=tmp_path, device="cpu")(HISTORY, top_k=40, exclude_seen=False)
        assert {one["item_id"]: one["title"] for one in found} == expected
        monkeypatch.setitem(sys.modules, "pyarrow", None)


def test_a_model_of_no_folder_answers_in_the_order_of_the_vocabulary(recommender):
    made = pipeline(TASK, model=recommender.model, tokenizer=recommender.tokenizer, device="cpu")
    with pytest.warns(UserWarning, match="items are recommended for them in token order"):
        assert [one["item_id"] for one in made([], top_k=2)] == ["item 0", "item 1"]


def test_a_whole_catalogue_holds_no_special_token(pipe):
    assert {one["item_id"] for one in pipe(HISTORY, top_k=40, exclude_seen=False)} == {f"item {i}" for i in range(40)}


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        ("item 5", {}, "A history is a list of item ids"),
        ({"history": "item 5"}, {}, "A history is a list of item ids"),
        ({"histories": []}, {}, "A request must have a 'history'"),
        ([1.5], {}, "Item ids are strings or integers, but 1.5 was given"),
        ([HISTORY, "item 1"], {}, "Expected a list of item ids in this history, but 'item 1' was given"),
        ([HISTORY, ["item 1", 1.5]], {}, "strings or integers"),
        (HISTORY, {"top_k": 0}, "is not an integer from 1 to 40"),
        (HISTORY, {"top_k": 41}, "is not an integer from 1 to 40"),
        (HISTORY, {"top_k": True}, "is not an integer from 1 to 40"),
        (HISTORY, {"top_k": "5"}, "is not an integer from 1 to 40"),
        (HISTORY, {"exclude_seen": "no"}, "exclude_seen must be True or False"),
        (HISTORY, {"deny": "item 1"}, "deny must be a list"),
        (b"item 5", {}, "Decode bytes"),
        ([b"item 5"], {}, "Decode bytes"),
        (HISTORY, {"deny": [b"item 5"]}, "Decode bytes"),
        ({"history": {"item 5"}}, {}, "a set was given, which has no order"),
    ],
)
def test_refuses_what_it_cannot_answer(pipe, inputs, options, message):
    with pytest.raises(ValueError, match=message):
        pipe(inputs, **options)


def test_refuses_a_tokenizer_of_another_size(recommender):
    with pytest.raises(ValueError, match="The model has 43 tokens, but the tokenizer has 5"):
        pipeline(TASK, model=recommender.model, tokenizer=ItemTokenizer.from_item_ids(["a", "b"]), device="cpu")


def test_saved_again_it_answers_the_same(pipe, tmp_path):
    pipe.save_pretrained(tmp_path / "again")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = pipeline(TASK, model=tmp_path / "again", device="cpu")
        assert again(HISTORY) == pipe(HISTORY)
    with pytest.warns(UserWarning, match="the most popular items are recommended for them"):
        again([])


def test_saved_where_it_was_loaded_it_keeps_its_catalogue(pipe, folder):
    before = {name: (folder / name).read_bytes() for name in ("items.parquet", "items.json")}
    pipe.save_pretrained(folder)
    assert {name: (folder / name).read_bytes() for name in before} == before
