"""Errors about a broken folder say what is broken, in Python and on the command line."""

import json

import polars as pl
import pytest
import torch

from seqrec import AutoModelForNextItem, ItemTokenizer, Recommender
from seqrec.cli.command_line import main
from seqrec.hub.saved_folder import read_protocol

HISTORY = ["item 5", "item 9"]


@pytest.fixture
def model_type():
    return "sasrec"


def set_config(**fields):
    def change(folder):
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, **fields}))

    return change


def write(name, content):
    return lambda folder: (folder / name).write_bytes(content)


def cut(name, length):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:length])


def remove(name):
    return lambda folder: (folder / name).unlink()


def write_items(*columns, drop=()):
    def change(folder):
        path = folder / "items.parquet"
        items = pl.read_parquet(path).with_columns(*columns).drop(drop)
        items.write_parquet(path)

    return change


def keep_first(folder):
    path = folder / "items.parquet"
    pl.read_parquet(path).head(5).write_parquet(path)


def pickle_weights(folder):
    torch.save(AutoModelForNextItem.from_pretrained(folder).state_dict(), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def pickle_shard(folder):
    pickle_weights(folder)
    index = {"metadata": {}, "weight_map": {"model.item_embedding.weight": "pytorch_model.bin"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def other_vocabulary(folder):
    ItemTokenizer.from_item_ids(["a", "b"]).save_pretrained(folder)


def other_special_tokens(folder):
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**settings, "mask_token": None}))


BREAKAGES = {
    "unknown model_type": (set_config(model_type="gru"), r"config\.json names the model_type 'gru', but seqrec knows"),
    "model_type of the library": (set_config(model_type="bert"), r"config\.json names the model_type 'bert'"),
    "config of a wrong type": (
        set_config(hidden_size="x"),
        r"config\.json does not describe a sasrec model .*hidden_size",
    ),
    "config that does not fit": (set_config(hidden_size=15), r"config\.json does not describe .*Choose a multiple"),
    "config no JSON": (write("config.json", b"{nope"), r"config\.json is not valid JSON"),
    "config no text": (write("config.json", b"\xff\xfe\x00"), r"config\.json is not valid JSON"),
    "config no object": (write("config.json", b"[]"), r"config\.json must hold a JSON object, but holds list"),
    "weights missing": (remove("model.safetensors"), r"model\.safetensors was not found"),
    "weights' head cut": (cut("model.safetensors", 100), r"model\.safetensors cannot be read"),
    "weights' tail cut": (cut("model.safetensors", -100), r"model\.safetensors cannot be read"),
    "weights empty": (write("model.safetensors", b""), r"model\.safetensors cannot be read"),
    "weights of another shape": (
        set_config(intermediate_size=64),
        r"model\.safetensors was trained with intermediate_size=32, but its config\.json says 64",
    ),
    "weights a pickle": (pickle_weights, r"weights in a pickle \(pytorch_model\.bin\)"),
    "a shard a pickle": (pickle_shard, r"weights in a pickle \(pytorch_model\.bin\)"),
    "an adapter a pickle": (write("adapter_model.bin", b"x"), r"weights in a pickle \(adapter_model\.bin\)"),
    "tokenizer missing": (remove("tokenizer.json"), r"tokenizer\.json was not found"),
    "tokenizer cut": (cut("tokenizer.json", 500), r"tokenizer\.json cannot be read"),
    "tokenizer of nothing": (write("tokenizer.json", b"{}"), r"tokenizer\.json cannot be read"),
    "tokenizer's settings missing": (remove("tokenizer_config.json"), r"tokenizer_config\.json was not found"),
    "tokenizer's settings no JSON": (write("tokenizer_config.json", b"{"), r"tokenizer_config\.json is not valid JSON"),
    "tokenizer of other special tokens": (other_special_tokens, r"it is not that of an ItemTokenizer"),
    "tokenizer of another size": (
        other_vocabulary,
        r"the model \(config\.json\) has 43 tokens, the tokenizer .* 5 \(2 of",
    ),
    "items no Parquet": (write("items.parquet", b"PAR1 nope"), r"items\.parquet cannot be read as a Parquet file"),
    "items cut": (cut("items.parquet", 300), r"items\.parquet cannot be read as a Parquet file"),
    "items fewer": (keep_first, r"\(items\.parquet\) 5 items"),
    "items others": (
        write_items(pl.col("item_id") + "x"),
        r"40 of 40 items differ between .* the first are 'item 0' and 'item 0x'",
    ),
    "items in another order": (write_items(pl.col("item_id").reverse()), r"40 of 40 items differ"),
    "items without counts": (write_items(drop="count"), r"items\.parquet must hold item_id \(text\) and count"),
    "items' counts text": (write_items(pl.col("count").cast(pl.String)), r"items\.parquet must hold item_id"),
    "items' counts null": (write_items(pl.lit(None, pl.Int64).alias("count")), r"without an item_id or a count"),
    "items' titles numbers": (write_items(pl.lit(1).alias("title")), r"items\.parquet must hold titles as text"),
}


@pytest.mark.parametrize("name", BREAKAGES)
def test_says_what_is_broken(folder, name, capfd):
    break_it, message = BREAKAGES[name]
    break_it(folder)
    with pytest.raises(ValueError, match=message):
        Recommender.from_pretrained(folder)
    capfd.readouterr()
    assert main(["recommend", "--model", str(folder), "--history", ",".join(HISTORY)]) == 2
    printed = capfd.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1, printed.err
    assert printed.err.startswith("seqrec recommend: ")


def test_a_whole_folder_loads_in_one_file_or_in_shards(recommender, folder):
    expected = Recommender.from_pretrained(folder).recommend(HISTORY)
    (folder / "model.safetensors").unlink()
    recommender.model.save_pretrained(folder, max_shard_size="2kB")
    assert (folder / "model.safetensors.index.json").exists()
    found = Recommender.from_pretrained(folder).recommend(HISTORY)
    assert [one.item_id for one in found] == [one.item_id for one in expected]


def test_auto_classes_refuse_a_pickle_too(folder, recommender):
    pickle_weights(folder)
    for loader in (AutoModelForNextItem, type(recommender.model), type(recommender.model.model)):
        with pytest.raises(OSError, match=r"model\.safetensors"):
            loader.from_pretrained(folder)
        with pytest.raises(ValueError, match="reads only safetensors weights"):
            loader.from_pretrained(folder, use_safetensors=False)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{nope", "is not valid JSON"),
        ("[]", "must hold a JSON object"),
        ("{}", "must hold a protocol"),
        ('{"protocol": 5}', "must hold a protocol"),
        ('{"protocol": {"split_method": "random"}}', "the invalid split_method 'random'"),
        ('{"protocol": {"min_user_interactions": "many"}}', "the invalid min_user_interactions 'many'"),
        ('{"protocol": {"exclude_seen": "no"}}', "the invalid exclude_seen 'no'"),
    ],
)
def test_evaluate_refuses_broken_metrics(folder, content, message, capfd):
    (folder / "metrics.json").write_text(content)
    assert main(["evaluate", "--model", str(folder), "--dataset", "synthetic"]) == 2
    printed = capfd.readouterr().err
    assert message in printed
    assert len(printed.splitlines()) == 1


def test_a_protocol_is_read_where_there_is_one(folder):
    assert read_protocol(str(folder)) == {}
    (folder / "metrics.json").write_text('{"protocol": {"split_method": "temporal", "test_fraction": 1}}')
    assert read_protocol(str(folder)) == {"split_method": "temporal", "test_fraction": 1}
