"""Contract tests of `Recommender` for every architecture."""

import math
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch

from seqrec import ItemTokenizer, Recommender

HISTORY = ["item 5", "item 9", "item 7"]


def ids(found):
    return [one.item_id for one in found]


def test_saving_and_loading_changes_no_recommendation(recommender, tmp_path):
    recommender.save_pretrained(tmp_path)
    assert Recommender.from_pretrained(tmp_path).recommend(HISTORY, k=40) == recommender.recommend(HISTORY, k=40)


def test_recommends_titles_best_first_without_what_was_seen(recommender):
    found = recommender.recommend(HISTORY, k=40)
    assert len(found) == 37
    assert not set(ids(found)) & set(HISTORY)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert all(one.title == f"Title of {one.item_id}" for one in found)


def test_scores_are_the_model_s_own(recommender):
    tokenizer = recommender.tokenizer
    asked = HISTORY if recommender.model.objective.is_causal else [*HISTORY, tokenizer.mask_token]
    logits = recommender.model(**tokenizer([asked], return_tensors="pt")).logits[0, -1]
    for one in recommender.recommend(HISTORY, k=40, exclude_seen=False):
        (token_id,) = tokenizer.encode_item_ids([one.item_id])
        assert one.score == pytest.approx(logits[token_id].item(), abs=1e-4)


def test_seen_items_come_back_on_request(recommender):
    assert set(HISTORY) < set(ids(recommender.recommend(HISTORY, k=40, exclude_seen=False)))


def test_a_batch_is_its_histories_one_by_one(recommender):
    histories = [HISTORY, ["item 1"], [f"item {index}" for index in range(30)]]
    found = recommender.recommend(histories, k=5)
    for history, together in zip(histories, found, strict=True):
        alone = recommender.recommend(history, k=5)
        assert ids(together) == ids(alone)
        assert [one.score for one in together] == pytest.approx([one.score for one in alone], abs=1e-4)


def test_only_the_newest_items_count_but_all_are_left_out(recommender):
    long = [f"item {index}" for index in range(30)]
    found = recommender.recommend(long, k=10)
    assert set(ids(found)) == {f"item {index}" for index in range(30, 40)}
    newest = recommender.recommend(long[-12:], k=40)
    assert [one for one in ids(newest) if one not in long] == ids(found)


def test_as_many_items_are_read_as_the_model_has_places_for(recommender):
    """The oldest item that is read counts, the one before it does not."""
    whole = recommender.model.config.max_history_length
    long = [f"item {index}" for index in range(whole + 1)]
    scores = [
        [one.score for one in recommender.recommend(history, k=40, exclude_seen=False)]
        for history in (long, long[1:], long[2:])
    ]
    assert scores[0] == scores[1] != scores[2]
    frame = pl.DataFrame({"user_id": [1] * len(long), "item_id": long, "timestamp": range(len(long))})
    assert recommender.recommend_frame(frame, k=40, exclude_seen=False)["score"].to_list() == pytest.approx(scores[0])


def test_allow_and_deny_for_all_or_for_each(recommender):
    allowed = recommender.recommend([HISTORY, ["item 1"]], k=5, allow=["item 2", "item 3", "item 5"])
    assert [set(ids(one)) for one in allowed] == [{"item 2", "item 3"}, {"item 2", "item 3", "item 5"}]
    each = recommender.recommend([HISTORY, HISTORY], k=40, deny=[["item 2"], ["item 3", "item 4"]])
    assert set(ids(each[0])) == set(recommender.tokenizer.item_ids) - {*HISTORY, "item 2"}
    assert set(ids(each[1])) == set(recommender.tokenizer.item_ids) - {*HISTORY, "item 3", "item 4"}


@pytest.mark.filterwarnings("ignore:1 of . histories hold no known item")
@pytest.mark.parametrize("exclude_seen", [True, False])
@pytest.mark.parametrize("names", [("allow",), ("deny",), ("allow", "deny")], ids=str)
def test_lists_for_each_history_are_those_of_the_history_alone(recommender, names, exclude_seen):
    """Histories share batches by their length, the longest first, and those without items have one of their own."""
    histories = [["item 1"], [], [f"item {index}" for index in range(9)], HISTORY]
    lists = {
        "allow": [[f"item {place}" for place in range(start, 40, 4)] for start in range(4)],
        "deny": [[f"item {place}" for place in range(start, 40, 3)] for start in (2, 0, 1, 0)],
    }
    together = recommender.recommend(
        histories, k=40, exclude_seen=exclude_seen, **{name: lists[name] for name in names}
    )
    for row, history in enumerate(histories):
        own = {name: set(lists[name][row]) for name in names}
        left = own.get("allow", set(recommender.tokenizer.item_ids)) - own.get("deny", set())
        assert set(ids(together[row])) == left - (set(history) if exclude_seen else set())
        alone = recommender.recommend(
            history, k=40, exclude_seen=exclude_seen, **{name: lists[name][row] for name in names}
        )
        assert ids(together[row]) == ids(alone)


def test_unknown_items_are_reported_and_left_out(recommender):
    with pytest.warns(UserWarning, match=r"1 of 4 items in this history are not in the vocabulary \(first: 'x9'\)"):
        found = recommender.recommend([*HISTORY[:2], "x9", HISTORY[2]])
    assert found.unknown_items == ("x9",)
    assert not found.is_popularity
    assert found == recommender.recommend(HISTORY)
    with pytest.raises(ValueError, match="Pass unknown='skip'"):
        recommender.recommend(["x9"], unknown="error")


@pytest.mark.filterwarnings("ignore:2 of 2 items in this history are not in the vocabulary")
@pytest.mark.parametrize("history", [[], ["x9", "x8"]])
def test_without_a_known_item_the_popular_ones_are_recommended(recommender, history):
    with pytest.warns(UserWarning, match="most popular items are recommended"):
        found = recommender.recommend(history, k=3)
    assert found.is_popularity
    assert ids(found) == ["item 0", "item 1", "item 2"]
    assert [one.score for one in found] == pytest.approx([math.log(share / (820 + 40)) for share in (41, 40, 39)])


def test_an_unknown_history_does_not_disturb_its_neighbours(recommender):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = recommender.recommend([["x9"], HISTORY], k=5)
    assert found[0].is_popularity
    assert ids(found[1]) == ids(recommender.recommend(HISTORY, k=5))


def test_half_a_character_is_no_id(recommender):
    for options in ({"history": ["\ud800"]}, {"history": HISTORY, "deny": ["\ud800"] * 2000}):
        with pytest.raises(ValueError, match=r"^An item id in .* cannot be encoded as UTF-8: '\\ud800'"):
            recommender.recommend(**options)


@pytest.mark.parametrize("k", [0, -1, 41, True, 2.0, "5", None, np.int64(0), [5]])
def test_refuses_a_k_beyond_the_catalogue(recommender, k):
    frame = pl.DataFrame({"user_id": [1], "item_id": ["item 1"], "timestamp": [1]})
    for ask in (recommender.recommend, recommender.similar_items, recommender.recommend_frame):
        with pytest.raises(ValueError, match=r"is not an integer from 1 to 40"):
            ask({recommender.recommend: HISTORY, recommender.recommend_frame: frame}.get(ask, "item 5"), k=k)
    assert recommender.recommend(HISTORY, k=np.int64(5)) == recommender.recommend(HISTORY, k=5)


@pytest.mark.parametrize("option", [{"exclude_seen": "no"}, {"exclude_seen": 1}, {"exclude_seen": None}])
def test_a_switch_is_true_or_false(recommender, option):
    with pytest.raises(ValueError, match="exclude_seen must be True or False"):
        recommender.recommend(HISTORY, **option)


@pytest.mark.parametrize("unknown", ["…", "Skip", None, True, ["skip"]])
def test_unknown_is_one_of_two_words(recommender, unknown):
    with pytest.raises(ValueError, match="unknown must be 'skip' or 'error'"):
        recommender.recommend(HISTORY, unknown=unknown)


@pytest.mark.parametrize("make", [tuple, np.array, pd.Series, pd.Index, pl.Series, pa.array, iter])
def test_whatever_holds_ids_is_a_history_like_a_list(recommender, make):
    assert recommender.recommend(make(HISTORY), k=5) == recommender.recommend(HISTORY, k=5)
    several = recommender.recommend([make(HISTORY), ["item 1"]], k=5)
    assert several == recommender.recommend([HISTORY, ["item 1"]], k=5)
    assert recommender.recommend(pl.Series([HISTORY, ["item 1"]]), k=5) == several
    assert recommender.recommend(np.array([HISTORY, HISTORY]), k=5) == recommender.recommend([HISTORY] * 2, k=5)
    assert recommender.recommend(np.empty((0, 5)), k=5) == []


@pytest.mark.parametrize("make", [tuple, np.array, pd.Series, pl.Series, pa.array, iter, set, frozenset])
def test_whatever_holds_ids_denies_and_allows_like_a_list(recommender, make):
    some = ["item 2", "item 3", "item 5"]
    frame = pl.DataFrame({"user_id": [1, 2], "item_id": ["item 1", "item 9"], "timestamp": [1, 1]})
    for name in ("allow", "deny"):
        for histories in (HISTORY, [HISTORY, ["item 1"]]):
            expected = recommender.recommend(histories, k=40, **{name: some})
            assert recommender.recommend(histories, k=40, **{name: make(some)}) == expected
        assert recommender.recommend_frame(frame, 40, **{name: make(some)}).equals(
            recommender.recommend_frame(frame, 40, **{name: some})
        )
        each = recommender.recommend([HISTORY] * 2, k=40, **{name: [make(some), []]})
        assert each == recommender.recommend([HISTORY] * 2, k=40, **{name: [some, []]})


def test_a_list_of_nothing_denies_nothing_and_allows_nothing(recommender):
    assert recommender.recommend(HISTORY, k=5, deny=[]) == recommender.recommend(HISTORY, k=5)
    assert recommender.recommend(HISTORY, k=5, allow=[]) == []
    assert recommender.recommend([HISTORY] * 2, k=5, allow=iter([])) == [[], []]


def test_a_frame_s_users_share_their_allow_and_deny_lists(recommender):
    frame = pl.DataFrame({"user_id": [1, 2], "item_id": ["item 1", "item 9"], "timestamp": [1, 1]})
    for name in ("allow", "deny"):
        with pytest.raises(ValueError, match=f"was given in {name}"):
            recommender.recommend_frame(frame, 4, **{name: [["item 2"], ["item 3"]]})


@pytest.mark.parametrize("item_id", [b"item 5", 5.0, None, True, ["item 5"], np.array(["item 5"]), torch.tensor(5)])
def test_an_item_is_named_by_text_or_an_integer(recommender, item_id):
    for ask in (recommender.similar_items, recommender.name_item):
        with pytest.raises(ValueError, match=r"^Item ids are strings or integers"):
            ask(item_id)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_weights_that_are_not_finite_recommend_nothing(recommender, value):
    with torch.no_grad():
        for parameter in recommender.model.parameters():
            parameter.fill_(value)
    for ask in (recommender.recommend, recommender.similar_items):
        with pytest.raises(ValueError, match="of the model hold NaN or infinite numbers, so it cannot recommend"):
            ask(HISTORY if ask == recommender.recommend else "item 5")
    with pytest.raises(ValueError, match="Item vectors of the model hold NaN or infinite numbers"):
        Recommender(recommender.model, recommender.tokenizer, recommender.items)


def test_user_vectors_that_are_not_finite_recommend_nothing(recommender):
    last = [one for name, one in recommender.model.named_parameters() if "item_embedding" not in name][-1]
    with torch.no_grad():
        last.fill_(torch.nan)
    with pytest.raises(ValueError, match="Scores of the model hold NaN"):
        recommender.recommend(HISTORY)


@pytest.mark.parametrize("device", ["gpu", "cuda:97"])
def test_a_device_that_is_not_there_is_a_sentence(recommender, tmp_path, device):
    recommender.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"device.* Give 'auto', or"):
        Recommender.from_pretrained(tmp_path, device=device)
    assert Recommender.from_pretrained(tmp_path, device="cpu").model.device == torch.device("cpu")


def test_integers_are_raw_ids_too(tiny_model, items):
    tokenizer = ItemTokenizer.from_item_ids(range(40))
    recommender = Recommender(tiny_model, tokenizer, items.with_columns(item_id=pl.Series(tokenizer.item_ids)))
    assert recommender.recommend([5, np.int64(9)]) == recommender.recommend(["5", "9"])


def test_refuses_what_is_no_history(recommender):
    with pytest.raises(ValueError, match="A history is a list of item ids"):
        recommender.recommend("item 5")
    with pytest.raises(ValueError, match=r"strings or integers, but 1\.5 was given"):
        recommender.recommend(["item 5", 1.5])
    with pytest.raises(ValueError, match="Expected a list of item ids in this history, but 'item 5' was given"):
        recommender.recommend([["item 9"], "item 5"])


def test_refuses_lists_that_fit_no_history(recommender):
    with pytest.raises(ValueError, match="deny has 3 lists for 1 histories"):
        recommender.recommend(HISTORY, deny=[["item 1"]] * 3)


def test_recommends_for_every_user_of_a_frame(recommender):
    frame = pl.DataFrame(
        {
            "user_id": [7, 7, 3, 7],
            "item_id": ["item 9", "item 7", "item 1", "item 5"],
            "timestamp": [2, 3, 1, 1],
        }
    )
    found = recommender.recommend_frame(frame, k=4)
    assert found.columns == ["user_id", "rank", "item_id", "score"]
    assert found["user_id"].to_list() == [3] * 4 + [7] * 4
    assert found["rank"].to_list() == [1, 2, 3, 4] * 2
    by_list = recommender.recommend([["item 1"], HISTORY], k=4)
    assert found["item_id"].to_list() == ids(by_list[0]) + ids(by_list[1])


@pytest.mark.parametrize(
    "options",
    [{"exclude_seen": False}, {"allow": ["item 2", "item 5", "item 30"]}, {"deny": ["item 2", "item 3", "item 30"]}],
    ids=str,
)
def test_options_reach_every_user_of_a_frame(recommender, options):
    frame = pl.DataFrame({"uid": [7, 7, 3, 7], "iid": ["item 9", "item 7", "item 1", "item 5"], "at": [2, 3, 1, 1]})
    columns = {"user_id": "uid", "item_id": "iid", "timestamp": "at"}
    found = recommender.recommend_frame(frame, k=40, columns=columns, **options)
    for user, history in ((3, ["item 1"]), (7, HISTORY)):
        expected = ids(recommender.recommend(history, k=40, **options))
        assert found.filter(user_id=user)["item_id"].to_list() == expected
        assert expected != ids(recommender.recommend(history, k=40))


def test_an_unknown_item_of_a_frame_is_an_error_on_request(recommender):
    frame = pl.DataFrame({"user_id": [1, 1], "item_id": ["item 1", "x9"], "timestamp": [1, 2]})
    with pytest.raises(ValueError, match="Pass unknown='skip'"):
        recommender.recommend_frame(frame, k=4, unknown="error")


def test_similar_items_are_other_items_by_cosine(recommender):
    found = recommender.similar_items("item 5", k=39)
    assert "item 5" not in ids(found)
    assert len(found) == 39
    vectors = recommender.model.encode_items().detach()
    own, best = (vectors[recommender.tokenizer.encode_item_ids([name])[0]] for name in ("item 5", found[0].item_id))
    assert found[0].score == pytest.approx((own @ best / own.norm() / best.norm()).item(), abs=1e-5)
    with pytest.raises(ValueError, match="not in the vocabulary"):
        recommender.similar_items("x9")


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("config.json", "config.json was not found"),
        ("tokenizer.json", "tokenizer.json was not found"),
        ("items.parquet", r"has no catalogue \(items.parquet\)"),
    ],
)
def test_says_which_part_of_a_model_is_missing(recommender, tmp_path, missing, message):
    recommender.save_pretrained(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(ValueError, match=message):
        Recommender.from_pretrained(tmp_path)


def test_refuses_a_vocabulary_of_another_size(recommender):
    with pytest.raises(ValueError, match="Model, tokenizer and catalogue differ: "):
        Recommender(recommender.model, recommender.tokenizer, recommender.items.to_frame().head(5))
