import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

from seqrec.evaluation.metrics import ndcg
from seqrec.interactions.sequences import build_sequences
from seqrec.interactions.special_tokens import NUM_SPECIAL_TOKENS, UNK_ID
from seqrec.interactions.splitting import Split
from seqrec.interactions.tokenization_items import ItemTokenizer
from seqrec.search.scoring import rank_targets

LENGTH, DIM = 5, 6
SHIFT = NUM_SPECIAL_TOKENS - 1  # RecTools has one special token


class Backbone:
    """Has the parts of RecTools' backbone that ranking calls; a user's vector depends on all that the model is told."""

    def __init__(self, num_items):
        self.items_VD = torch.randn(num_items + 1, DIM, generator=torch.Generator().manual_seed(0))
        self.item_model = self

    def eval(self): ...

    def train(self): ...

    def get_all_embeddings(self):
        return self.items_VD

    def encode_sessions(self, batch, items_VD):
        weights_BL = torch.arange(1, LENGTH + 1) + batch["unix_ts"].diff().float().log1p()
        weights_BL[batch["x"] == 0] = 0
        return weights_BL[:, :, None] * items_VD[batch["x"]]

    def similarity_module(self, users_BD, items_VD):
        return users_BD @ items_VD.T


@pytest.fixture
def table(written):
    return pl.read_parquet(written)


def rank_as_we_do(backbone, row):
    """Rank the target of one of our rows with our own ranking, reading the row as RecTools does."""
    ids, times = np.asarray(row["input_ids"]), np.asarray(row["timestamps"])
    is_known = ids >= NUM_SPECIAL_TOKENS
    seen, newest, told = ids[is_known], ids[is_known][-LENGTH:], times[is_known][-LENGTH:].tolist()
    told.append(row["target_timestamp"])
    batch = {
        "x": torch.tensor([[0] * (LENGTH - len(newest)) + [token - SHIFT for token in newest]]),
        "unix_ts": torch.tensor([[told[0]] * (LENGTH + 1 - len(told)) + told]).long(),
    }
    user_BD = backbone.encode_sessions(batch, backbone.items_VD)[:, -1]
    items_VD = torch.cat([torch.zeros(SHIFT, DIM), backbone.items_VD])
    return int(rank_targets(user_BD, items_VD, torch.tensor([row["target"]]), excluded_BS=torch.tensor(seen)[None]))


@pytest.mark.parametrize("part", [1, 2])
def test_rectools_is_ranked_as_our_evaluator_ranks(load, table, part):
    split = Split.from_parts(*(table.filter(pl.col("part") == index) for index in range(3)))
    known = split.train["item_id"].unique(maintain_order=True).to_list()[5:]  # five items are unknown
    rows = build_sequences(split, ItemTokenizer.from_item_ids(known))[("train", "validation", "test")[part]]
    backbone = Backbone(len(known))
    ranks = np.array([rank_as_we_do(backbone, row) for row in rows])
    assert 0 < (ranks <= 10).mean() < 1
    assert any(UNK_ID in row["input_ids"] for row in rows)
    assert UNK_ID in rows.rows["target"]
    events = pd.DataFrame({name: table[name].to_list() for name in table.columns})
    held_out = load("rectools_ranking").HeldOut.from_table(events, part, ["<pad>", *known])
    assert len(held_out.targets_R) == len(rows)
    assert held_out.ndcg(backbone, LENGTH) == pytest.approx(ndcg(ranks, 10).mean(), abs=1e-6)


def test_a_target_that_is_unknown_or_seen_is_a_miss_and_ties_count_against_it(load):
    gains_at_10 = load("rectools_ranking").gains_at_10
    scores_BV = torch.tensor([[-torch.inf, 2.0, 2.0, 1.0]] * 3 + [[-torch.inf, 2.0, -torch.inf, 1.0]])
    targets_B1 = torch.tensor([[0], [1], [3], [2]])
    expected = [0, 1 / np.log2(3), 1 / np.log2(4), 0]
    assert gains_at_10(scores_BV, targets_B1).tolist() == pytest.approx(expected)


def test_both_train_on_the_newest_events_of_each_user(load, written, table):
    newest = table.filter(part=0).group_by("user_id", maintain_order=True).tail(LENGTH + 1)
    sequences, tokenizer = load("seqrec_data").load_sequences(str(written), LENGTH + 1)
    trained = [item for row in sequences["train"] for item in tokenizer.convert_ids_to_tokens(list(row["input_ids"]))]
    assert trained == newest["item_id"].to_list()
    assert set(tokenizer.item_ids) == set(trained)
    assert sequences["test"].lengths_R.max() > LENGTH + 1


class Turns:
    """A connection to a harness that asks for a number of turns and then closes it."""

    def __init__(self, number):
        self.left, self.sent, self.answers = number, [], []

    def ready(self):
        assert not self.sent

    def receive(self):
        if not self.left:
            raise EOFError
        self.left -= 1
        return {"count": 1}

    def send(self, message):
        self.sent.append(message)

    def answer(self, **measured):
        self.answers.append(measured)


def test_each_turn_trains_with_another_seed_and_tests_the_best_epoch(load, written, table):
    specs = load("specs")
    contender = specs.seqrec(
        "ours", length=LENGTH, model_type="hstu", time_encoding="relative", request_time="target", intermediate_size=64
    )
    request = {"data": str(written), "settings": specs.trained_to_best(contender, batch_size=8, epochs=2).settings}
    channel = Turns(3)
    with pytest.raises(EOFError):
        load("seqrec_quality_worker").best_epoch(request, channel)
    assert [answer["seed"] for answer in channel.answers] == [42, 43, 44]
    for turn, answer in enumerate(channel.answers):
        validations = channel.sent[2 * turn : 2 * turn + 2]
        assert [epoch["best_epoch"] for epoch in validations] == [1, 2]
        assert {name: answer[name] for name in validations[0]} in validations
        assert answer["validation_ndcg@10"] == max(epoch["validation_ndcg@10"] for epoch in validations)
        assert 0 < answer["test_ndcg@10"] < 1
        assert 0 < answer["train_seconds"] < answer["seconds"]
    assert len({answer["test_ndcg@10"] for answer in channel.answers}) > 1
    events_before = pl.int_range(pl.len()).over("user_id")
    assert answer["num_targets"] == table.filter((pl.col("part") == 2) & (events_before > 0)).height


def test_training_ends_when_a_quality_is_reached(load, written, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text("model_type: sasrec\nhidden_size: 8\nnum_train_epochs: 5\n")
    settings = {"recipe": str(recipe), "quality": 1e-6, "limit_seconds": 60}
    channel = Turns(1)
    with pytest.raises(EOFError):
        load("seqrec_quality_worker").train({"data": str(written), "settings": settings}, channel)
    (answer,) = channel.answers
    assert answer["reached"]
    assert answer["units"] == len(channel.sent) < 5
    assert answer["ndcg@10"] == channel.sent[-1]["ndcg@10"] >= 1e-6
