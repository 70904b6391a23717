"""Requests with event columns: their values reach the model together with the items."""

import numpy as np
import polars as pl
import pytest
import torch
from torch import nn
from transformers import pipeline

from seqrec import Recommender
from seqrec.interactions.events import EVENT_COLUMNS, CategoricalColumn
from seqrec.modeling.event_parts import EVENT_PARTS, EventPart, register_event_part

HISTORY, DEVICES = ["item 5", "item 9", "item 7"], ["tv", None, "phone"]
CODES = {None: 0, "watch": 0, "tv": 1, "phone": 2}


@pytest.fixture(autouse=True)
def device_part(monkeypatch):
    """An event part of the device, registered for the time of a test."""
    for registry in (EVENT_COLUMNS, EVENT_PARTS):
        monkeypatch.setitem(registry, "device", None)  # so that it is taken away again
        del registry["device"]

    @register_event_part
    class DevicePart(EventPart):
        column = CategoricalColumn("device", values=("tv", "phone"))

        def __init__(self, config):
            super().__init__(config)
            self.embedding = nn.Embedding(3, config.hidden_size)

        def forward(self, values_BL):
            return self.embedding(values_BL)


@pytest.fixture(params=["sasrec", "bert4rec"])
def model_type(request):
    return request.param


@pytest.fixture
def choices():
    return {"context_columns": ["device"]}


@torch.no_grad()
def expected(recommender, history, devices, k=5):
    """What the model itself makes of a history, the best first, without what was seen."""
    ids = torch.tensor([recommender.tokenizer.encode_item_ids(history).tolist()])
    users_BD = recommender.model.encode_users(ids, device=torch.tensor([[CODES[one] for one in devices]]))
    scores = (users_BD @ recommender.model.encode_items().T)[0]
    names = {int(token_id): f"item {token_id - 3}" for token_id in scores.argsort(descending=True) if token_id >= 3}
    return [name for name in names.values() if name not in history][:k]


def test_values_reach_the_model_beside_their_items(recommender):
    found = recommender.recommend(HISTORY, k=5, device=DEVICES)
    assert [one.item_id for one in found] == expected(recommender, HISTORY, DEVICES)
    assert found != recommender.recommend(HISTORY, k=5, device=["phone", "tv", "tv"])
    for make in (tuple, np.array, pl.Series, iter):
        assert recommender.recommend(HISTORY, k=5, device=make(DEVICES)) == found


@pytest.mark.filterwarnings("ignore:.*not in the vocabulary|.*hold no known item")
def test_each_history_of_several_has_its_own_values(recommender):
    histories = [["item 1"], HISTORY, [], [f"item {row}" for row in range(20)], ["item 2", "item 3", "x"]]
    devices = [["tv"], DEVICES, [], ["phone", "tv"] * 10, ["phone", "tv", "watch"]]
    together = recommender.recommend(histories, k=5, device=devices)
    for history, own, found in zip(histories, devices, together, strict=True):
        alone = recommender.recommend(history, k=5, device=own)
        assert [one.item_id for one in found] == [one.item_id for one in alone]
        assert [one.score for one in found] == pytest.approx([one.score for one in alone], abs=1e-4)


def test_values_of_unknown_items_are_left_out_with_them(recommender):
    with pytest.warns(UserWarning, match="1 of 4 items in this history are not in the vocabulary"):
        found = recommender.recommend(["item 5", "x9", *HISTORY[1:]], k=5, device=["tv", "phone", *DEVICES[1:]])
    assert found == recommender.recommend(HISTORY, k=5, device=DEVICES)


def test_only_the_newest_values_are_read(recommender):
    long, devices = [f"item {row}" for row in range(30)], ["tv", "phone"] * 15
    whole = recommender.model.config.max_history_length
    found = recommender.recommend(long, k=5, device=devices)
    assert found == recommender.recommend(long, k=5, device=["watch"] * (30 - whole) + devices[-whole:])
    assert found != recommender.recommend(long, k=5, device=[*devices[:-1], "watch"])


def test_a_frame_s_own_column_is_read(recommender):
    rows = {"user_id": [7, 3, 7, 7], "item_id": ["item 9", "item 1", "item 7", "item 5"], "timestamp": [2, 1, 3, 1]}
    frame = pl.DataFrame({**rows, "device": [None, "tv", "phone", "tv"]})
    found = recommender.recommend_frame(frame, k=5)
    assert found.filter(user_id=7)["item_id"].to_list() == expected(recommender, HISTORY, DEVICES)
    assert found.filter(user_id=3)["item_id"].to_list() == expected(recommender, ["item 1"], ["tv"])
    with pytest.raises(ValueError, match="no column 'device'"):
        recommender.recommend_frame(frame.drop("device"), k=5)


def test_unknown_items_of_a_frame_take_their_values_with_them(recommender):
    rows = {"user_id": [7] * 4, "item_id": ["item 5", "x9", *HISTORY[1:]], "timestamp": [1, 2, 3, 4]}
    frame = pl.DataFrame({**rows, "device": ["tv", "phone", *DEVICES[1:]]})
    with pytest.warns(UserWarning, match="1 of 4 items in the table are not in the vocabulary"):
        found = recommender.recommend_frame(frame, k=5)
    assert found.equals(recommender.recommend_frame(frame.filter(pl.col("item_id") != "x9"), k=5))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({}, "^The column device is missing"),
        ({"device": DEVICES, "rating": [1, 2, 3]}, "^The model does not read rating"),
        ({"device": DEVICES[:2]}, "^device has 2 values for a history of 3 items"),
        ({"device": "tv"}, "^device must be a list of values"),
        ({"device": [1, 2, 3]}, "^device must hold text such as"),
    ],
)
def test_columns_that_do_not_fit_are_named(recommender, columns, message):
    with pytest.raises(ValueError, match=message):
        recommender.recommend(HISTORY, **columns)


def test_several_histories_need_a_list_of_values_each(recommender):
    for device in ([DEVICES], ["tv", "phone"], [DEVICES, ["tv", "tv", "tv"]], [DEVICES, "tv"]):
        with pytest.raises(ValueError, match=r"^device (has|must)"):
            recommender.recommend([HISTORY, ["item 1", "item 2"]], device=device)


@pytest.mark.filterwarnings("ignore:.*no class of seqrec")
def test_the_pipeline_reads_them_from_the_request(recommender):
    pipe = pipeline("next-item-recommendation", model=recommender.model, tokenizer=recommender.tokenizer, device="cpu")
    found = pipe({"history": HISTORY, "device": DEVICES}, top_k=5)
    wanted = recommender.recommend(HISTORY, k=5, device=DEVICES)
    assert [(one["item_id"], one["score"]) for one in found] == [(one.item_id, one.score) for one in wanted]
    several = [HISTORY, ["item 1"]]
    together = pipe({"history": several, "device": [DEVICES, ["tv"]]}, top_k=5)
    assert [[one["item_id"] for one in found] for found in together] == [
        [one.item_id for one in found] for found in recommender.recommend(several, 5, device=[DEVICES, ["tv"]])
    ]
    with pytest.raises(ValueError, match="The column device is missing"):
        pipe(HISTORY)
    with pytest.raises(ValueError, match="may have 'allow', 'deny', 'device', but"):
        pipe({"history": HISTORY, "rating": [1, 2, 3]})


@pytest.fixture
def plain(tokenizer, items):
    """A recommender that reads the items alone."""
    from seqrec import SasRecConfig, SasRecForNextItem

    config = SasRecConfig(vocab_size=43, hidden_size=16, intermediate_size=32, max_position_embeddings=12)
    return Recommender(SasRecForNextItem(config), tokenizer, items)


def test_a_model_that_reads_items_alone_has_no_use_for_more(plain):
    with pytest.raises(ValueError, match="The model does not read device: besides the items, this model reads nothing"):
        plain.recommend(HISTORY, device=DEVICES)
