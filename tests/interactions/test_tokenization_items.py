import json
import subprocess
import sys
from collections import Counter

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from seqrec.interactions.tokenization_items import ItemTokenizer

ODD_IDS = ["50", "181", "a b,c", "é\nü", " 50", "x<|pad|>y", "[CLS]", "##50", "\t", "日本", "0050", "'\"\\"]
raw_ids = st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=8, unique=True)


@pytest.fixture(scope="module")
def odd():
    return ItemTokenizer.from_item_ids(ODD_IDS)


def test_special_tokens_come_first(odd):
    assert [odd.pad_token_id, odd.mask_token_id, odd.unk_token_id] == [0, 1, 2]
    assert odd.convert_tokens_to_ids(["<|pad|>", "<|mask|>", "<|unk|>", "50"]) == [0, 1, 2, 3]
    assert (len(odd), odd.vocab_size, odd.num_items, odd.item_ids) == (15, 15, 12, ODD_IDS)
    assert odd.bos_token is None


@settings(max_examples=50)
@given(raw_ids, st.data())
def test_any_ids_go_there_and_back(ids, data):
    tokenizer = ItemTokenizer.from_item_ids(ids)
    history = data.draw(st.lists(st.sampled_from(ids), max_size=10))
    expected = [3 + ids.index(item_id) for item_id in history]
    assert tokenizer(history)["input_ids"] == expected
    assert tokenizer.encode_item_ids(history).tolist() == expected
    assert tokenizer.decode_item_ids(expected) == history


def test_one_history_and_batches(odd):
    assert odd(["50", "181", "nowhere"]) == {"input_ids": [3, 4, 2], "attention_mask": [1, 1, 1]}
    assert odd([50, 181])["input_ids"] == [3, 4]
    assert odd("50")["input_ids"] == [3]
    assert odd([])["input_ids"] == []
    assert odd([["50"], [], ["181", 50]])["input_ids"] == [[3], [], [4, 3]]


def test_padding_and_truncation_keep_the_newest_at_the_end(odd):
    batch = odd([["50"], ["a b,c", "181", "50"]], padding=True, truncation=True, max_length=2, return_tensors="pt")
    assert torch.equal(batch["input_ids"], torch.tensor([[0, 3], [4, 3]]))
    assert torch.equal(batch["attention_mask"], torch.tensor([[0, 1], [1, 1]]))
    assert odd.pad([{"input_ids": [3]}, {"input_ids": [4, 5]}])["input_ids"] == [[0, 3], [4, 5]]


@pytest.mark.parametrize("size", [5, 3000])
@pytest.mark.parametrize("convert", [list, pl.Series, np.array, lambda ids: pl.Series(ids, dtype=pl.Categorical)])
def test_bulk_look_up_equals_single_look_up(size, convert):
    ids = [f"item {index}" for index in range(50)]
    tokenizer = ItemTokenizer.from_item_ids(ids)
    wanted = np.random.default_rng(0).integers(60, size=size)  # items from 50 on are unknown
    token_ids = tokenizer.encode_item_ids(convert([f"item {index}" for index in wanted]))
    assert token_ids.dtype == np.int64
    assert token_ids.tolist() == [index + 3 if index < 50 else 2 for index in wanted]


@pytest.mark.parametrize("size", [1, 2000])
def test_special_tokens_are_no_items(odd, size):
    assert set(odd.encode_item_ids(["<|mask|>"] * size).tolist()) == {2}


def test_integers_are_raw_ids(odd):
    assert odd.encode_item_ids([50, 181]).tolist() == [3, 4]
    assert odd.encode_item_ids(np.array(["50", 181], dtype=object)).tolist() == [3, 4]


def test_one_text_is_no_list_of_ids(odd):
    for take in (odd.encode_item_ids, ItemTokenizer.from_item_ids):
        with pytest.raises(ValueError, match=r"'50' was given\. Put a single id into a list: \['50'\]"):
            take("50")
    assert odd.encode_item_ids(np.array([181, 7])).tolist() == [4, 2]
    assert ItemTokenizer.from_item_ids(range(3)).item_ids == ["0", "1", "2"]


def test_ids_of_another_type_are_refused(odd):
    columns = [np.array([50.0]), np.array([b"50"]), np.array([[50]]), pl.Series(["50", None]), pl.Series([b"50"])]
    for ids in (*columns, [50.0], [None], [True], [b"50"], b"50", {"50": 1}, torch.tensor([50]), {"50", "181"}):
        with pytest.raises(ValueError, match=r"given|missing"):
            odd.encode_item_ids(ids)
        with pytest.raises(ValueError, match=r"given|missing"):
            ItemTokenizer.from_item_ids(ids)


@pytest.mark.parametrize(
    "history", [b"50", [b"50"], {"50": 1}, {"50"}, 50.0, [50.0], torch.tensor([50]), [["50", None]]]
)
def test_what_is_no_history_is_refused(odd, history):
    with pytest.raises(ValueError, match="was given"):
        odd(history)


@pytest.mark.parametrize("convert", [tuple, np.array, pl.Series, iter, lambda ids: (item_id for item_id in ids)])
def test_arrays_columns_and_iterators_are_histories_like_lists(odd, convert):
    assert odd(convert(["50", "181"]))["input_ids"] == [3, 4]
    assert odd([convert(["50", "181"]), ["50"]])["input_ids"] == [[3, 4], [3]]
    assert odd.encode_item_ids(convert(["50", "181"])).tolist() == [3, 4]


def test_decoding_refuses_what_is_no_item(odd):
    assert odd.decode_item_ids(np.array([3, 14])) == ["50", "'\"\\"]
    assert odd.decode_item_ids([]) == []
    for token_ids in ([3, 0], [2], [15], [-1]):
        with pytest.raises(ValueError, match=f"1 of {len(token_ids)} token ids are not items .*from 3 to 14"):
            odd.decode_item_ids(token_ids)
    with pytest.raises(ValueError, match=r"float64.*integers"):
        odd.decode_item_ids([3.5])


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([], "needs items, but none were given"),
        (["a", ""], "empty"),
        (["a", "b", "a", "b"], r"2 item ids occur more than once \(first: 'a'\)"),
        (["a", "<|unk|>"], "special token"),
        (["1", 1], "more than once"),
    ],
)
def test_unusable_vocabularies_are_refused(ids, message):
    with pytest.raises(ValueError, match=message):
        ItemTokenizer.from_item_ids(ids)


@given(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=40), st.permutations("abcdefgh"))
@settings(max_examples=30)
def test_items_are_ordered_by_frequency_then_appearance(items, catalogue):
    interactions = pl.DataFrame({"item_id": items})
    counts = Counter(items)  # remembers the order of first appearance, and sorted() is stable
    expected = sorted(counts, key=lambda item: -counts[item])
    assert ItemTokenizer.from_interactions(interactions).item_ids == expected
    further = [item for item in catalogue if item not in counts]
    tokenizer = ItemTokenizer.from_interactions(interactions, catalogue=[*catalogue, *catalogue])
    assert tokenizer.item_ids == expected + further


def test_saved_tokenizer_is_the_same(tmp_path):
    odd = ItemTokenizer.from_item_ids(ODD_IDS)
    odd.save_pretrained(tmp_path)
    loaded = ItemTokenizer.from_pretrained(tmp_path)
    assert type(loaded) is ItemTokenizer
    assert loaded.item_ids == ODD_IDS
    assert loaded.item_series.equals(odd.item_series)
    assert (loaded.padding_side, loaded.truncation_side) == ("left", "left")
    loaded.save_pretrained(tmp_path / "again")
    assert loaded(ODD_IDS) == odd(ODD_IDS)
    assert (tmp_path / "again/tokenizer.json").read_text() == (tmp_path / "tokenizer.json").read_text()


def test_auto_tokenizer_needs_neither_trust_nor_this_package(odd, tmp_path):
    odd.save_pretrained(tmp_path)
    program = (
        "import sys, json; sys.modules['seqrec'] = None\n"
        "from transformers import AutoTokenizer\n"
        f"tokenizer = AutoTokenizer.from_pretrained({str(tmp_path)!r})\n"
        "options = dict(is_split_into_words=True, padding=True, truncation=True, max_length=12)\n"
        "ids = json.loads(sys.argv[1])\n"
        "input_ids = tokenizer([ids, ['no', '50']], **options)['input_ids']\n"
        "print(json.dumps([type(tokenizer).__name__, input_ids]))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, json.dumps(ODD_IDS)], capture_output=True, text=True, check=True
    )
    name, input_ids = json.loads(result.stdout)
    assert name == "TokenizersBackend"
    assert input_ids == [list(range(3, 15)), [0] * 10 + [2, 3]]
    assert AutoTokenizer.from_pretrained(tmp_path).model_input_names == ["input_ids", "attention_mask"]


def test_tokens_cannot_be_added_in_place(odd):
    with pytest.raises(ValueError, match="Build a new one"):
        odd.add_tokens(["5"])
    grown = ItemTokenizer.from_item_ids([*odd.item_ids, "5"])
    assert grown(["50", "5"])["input_ids"] == [3, 15]
