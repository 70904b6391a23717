"""A wrong folder is refused with a one-line error, or gives the same results as the right one."""

import json
import math
import re
import threading

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoModelForCausalLM
from transformers.utils import logging

from seqrec import AutoModelForNextItem, Recommender, SasRecConfig
from seqrec.errors import InputError, SavedFolderError
from seqrec.modeling.modeling_auto import MODEL_TYPES
from seqrec.training.starting_point import load_starting_point

HISTORIES = [["item 5", "item 9", "item 7"], ["item 1"], [f"item {index}" for index in range(20)]]
WILD = [None, -1, 0, 1.5, 10**6, 1e308, 10**30, math.nan, math.inf, "x", "", [], {}, True, False, {"a": {"b": [1]}}]
NEVER_SAVED = [
    *("num_labels", "id2label", "attn_implementation", "_attn_implementation_internal", "torch_dtype", "nonsense"),
    *("quantization_config", "per_layer_config", "return_dict", "output_hidden_states", "output_attentions"),
    *("transformers_weights", "fusion_config", "max_length", "name_or_path", "problem_type"),
]
WEIGHTS = "model.safetensors"


@pytest.fixture
def model_type():
    return "sasrec"


def top(recommender):
    return [[(one.item_id, one.score) for one in found] for found in recommender.recommend(HISTORIES, k=10)]


def answers_alike_or_is_refused(folder, expected):
    """Load a folder. Return the error's line, or None where it answers as expected."""
    refusal = None
    try:
        assert top(Recommender.from_pretrained(folder)) == expected
    except ValueError as error:
        refusal = str(error)
    assert refusal is None or "\n" not in refusal, refusal
    return refusal


def set_config(folder, **fields):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **fields}))


def change_weights(folder, change):
    """Change tensors, and keep the file's metadata."""
    with safe_open(folder / WEIGHTS, framework="pt") as weights:
        metadata = weights.metadata()
    tensors = load_file(folder / WEIGHTS)
    change(tensors)
    save_file(tensors, folder / WEIGHTS, metadata)


@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_a_wild_value_in_config_json(folder, model_type):
    expected = top(Recommender.from_pretrained(folder))
    saved = (folder / "config.json").read_text()
    keys = {*json.loads(saved), *NEVER_SAVED}
    for key in keys if model_type == "sasrec" else keys - {*SasRecConfig.__dataclass_fields__, *NEVER_SAVED}:
        for value in WILD:
            (folder / "config.json").write_text(json.dumps({**json.loads(saved), key: value}))
            answers_alike_or_is_refused(folder, expected)


@pytest.mark.parametrize("loader", ["seqrec", "library"])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("num_attention_heads", 4), ("hidden_act", "relu"), ("layer_norm_eps", 0.1), ("logit_scale", 5.0)),
        *(("position_embedding_type", "rotary"), ("model_type", "bert4rec")),
        *(("intermediate_size", 64), ("max_position_embeddings", 500), ("context_columns", ["device"])),
    ],
)
def test_another_configuration_than_was_trained_is_refused(folder, loader, field, value):
    set_config(folder, **{field: value})
    if field == "model_type":
        set_config(folder, masking_probability=0.2)
    load = Recommender.from_pretrained if loader == "seqrec" else AutoModelForNextItem.from_pretrained
    with pytest.raises(
        ValueError, match=rf"was trained with {field}=.*, but its config\.json says {re.escape(repr(value))}"
    ):
        load(folder)


def mark(folder, **fields):
    """Change what weights say of the configuration that they were trained with; None takes a field out."""
    with safe_open(folder / WEIGHTS, framework="pt") as weights:
        metadata = weights.metadata()
    trained = {**json.loads(metadata["seqrec_scoring"]), **fields}
    text = json.dumps({name: value for name, value in trained.items() if value is not None})
    save_file(load_file(folder / WEIGHTS), folder / WEIGHTS, {**metadata, "seqrec_scoring": text})


def test_marks_of_version_0_1_are_understood(folder):
    expected = top(Recommender.from_pretrained(folder))
    of_old = {"is_causal": True, "tie_word_embeddings": True, "pad_token_id": 0, "mask_token_id": 1, "unk_token_id": 2}
    mark(folder, **of_old, context_columns=None, item_parts=None)
    assert top(Recommender.from_pretrained(folder)) == expected
    set_config(folder, item_parts=["text"])
    with pytest.raises(SavedFolderError, match=r"trained with item_parts=\[\], but its config\.json says \['text'\]"):
        Recommender.from_pretrained(folder)
    set_config(folder, item_parts=[])
    mark(folder, is_causal=False)  # a SASRec that read histories in both directions, which there is no more
    with pytest.raises(SavedFolderError, match=r"trained with is_causal=False, but its config\.json says True"):
        Recommender.from_pretrained(folder)
    mark(folder, is_causal=True, invented=1)
    with pytest.raises(SavedFolderError, match="trained with invented=1"):
        Recommender.from_pretrained(folder)


def test_an_unknown_entry_of_config_json_changes_nothing(folder, tmp_path):
    expected = top(Recommender.from_pretrained(folder))
    set_config(folder, invented=1, num_labels=5, quantization_config={"bits": 4})
    recommender = Recommender.from_pretrained(folder)
    assert top(recommender) == expected
    recommender.save_pretrained(tmp_path / "again")
    assert "invented" not in json.loads((tmp_path / "again" / "config.json").read_text())
    assert load_starting_point(str(folder), config_fields={"hidden_dropout": 0.5}).model.config.hidden_dropout == 0.5
    for auto_class in (AutoModel, AutoModelForCausalLM, AutoModelForNextItem):
        assert auto_class.from_pretrained(folder).config.hidden_size == 16
        with pytest.raises(InputError, match="SasRecConfig has no field 'invented'"):
            auto_class.from_pretrained(folder, invented=1)
        with pytest.raises(InputError, match="SasRecConfig has no field 'is_causal'"):
            auto_class.from_pretrained(folder, is_causal=False)


def test_what_only_training_reads_may_differ(folder):
    expected = top(Recommender.from_pretrained(folder))
    set_config(folder, hidden_dropout=0.7, loss="bce", num_negatives=7, initializer_range=0.5)
    assert top(Recommender.from_pretrained(folder)) == expected


def test_shards_are_marked_too_and_replace_a_whole_file(folder, recommender):
    recommender.model.save_pretrained(folder, max_shard_size="2kB")
    assert not (folder / WEIGHTS).exists()
    shards = sorted(folder.glob("*.safetensors"))
    assert len(shards) > 1
    for shard in shards:
        with safe_open(shard, framework="pt") as weights:
            assert json.loads(weights.metadata()["seqrec_scoring"]) == recommender.model.config.scoring_fields()
    set_config(folder, hidden_act="relu")
    with pytest.raises(ValueError, match="was trained with hidden_act='gelu'"):
        Recommender.from_pretrained(folder)
    recommender.model.save_pretrained(folder)
    assert [path.name for path in folder.glob("model*.safetensors*")] == [WEIGHTS]


def test_saving_again_resized_cast_or_from_an_unmarked_file_goes_on_working(folder, tmp_path):
    change_weights(folder, lambda tensors: None)
    save_file(load_file(folder / WEIGHTS), folder / WEIGHTS, {"format": "pt"})
    model = AutoModelForNextItem.from_pretrained(folder)
    model.resize_token_embeddings(50)
    model.to(torch.bfloat16).save_pretrained(tmp_path / "again")
    again = AutoModelForNextItem.from_pretrained(tmp_path / "again")
    assert again.dtype == torch.bfloat16
    assert again.config.scoring_fields()["vocab_size"] == 50
    assert not list((tmp_path / "again").glob(".part*"))


@pytest.mark.parametrize("loader", ["seqrec", "library"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_weights_that_are_not_finite_are_refused(folder, loader, value):
    def change(tensors):
        tensors["model.layers.1.feed_forward.up.weight"][3, 2] = value

    change_weights(folder, change)
    load = Recommender.from_pretrained if loader == "seqrec" else AutoModelForNextItem.from_pretrained
    with pytest.raises(ValueError, match=r"layers\.1\.feed_forward\.up\.weight of .* holds NaN or infinite"):
        load(folder)


@pytest.mark.parametrize("dtype", [torch.int64, torch.int8, torch.uint8, torch.bool, torch.complex64])
def test_weights_that_are_no_floats_are_refused(folder, dtype):
    change_weights(folder, lambda tensors: tensors.update({name: one.to(dtype) for name, one in tensors.items()}))
    with pytest.raises(ValueError, match="but weights are floating-point numbers"):
        Recommender.from_pretrained(folder)


def drop(tensors):
    del tensors["model.final_norm.bias"]


def add(tensors):
    tensors["model.layers.2.attention.output.bias"] = torch.zeros(16)


def transpose(tensors):
    name = "model.layers.0.feed_forward.up.weight"
    tensors[name] = tensors[name].T.contiguous()


@pytest.mark.parametrize(("change", "how"), [(drop, "missing"), (add, "superfluous"), (transpose, "of another shape")])
def test_weights_that_do_not_fit_are_refused_by_every_loader(folder, change, how):
    change_weights(folder, change)
    for load in (Recommender.from_pretrained, AutoModelForNextItem.from_pretrained):
        with pytest.raises(ValueError, match=rf"does not fit config\.json: 1 tensors are {how} \(first: model\."):
            load(folder)


def unmark(folder):
    save_file(load_file(folder / WEIGHTS), folder / WEIGHTS, {"format": "pt"})


@pytest.mark.parametrize(
    "fields",
    [
        *({"num_hidden_layers": 1000}, {"num_hidden_layers": 10**6}, {"vocab_size": 2**31}),
        *({"hidden_size": 2**16}, {"intermediate_size": 2**20}, {"max_position_embeddings": 2**20}),
        *({"hidden_size": 15_000, "intermediate_size": 15_000}, {"vocab_size": 10**12}, {"num_hidden_layers": 3}),
    ],
    ids=str,
)
@pytest.mark.parametrize("is_marked", [True, False])
def test_sizes_beyond_what_was_saved_are_refused_at_once(folder, fields, is_marked):
    if not is_marked:
        unmark(folder)
    set_config(folder, **fields)
    for load in (Recommender.from_pretrained, AutoModelForNextItem.from_pretrained):
        with pytest.raises(ValueError, match=r"^[^\n]*$"):
            load(folder)


INDEX = "model.safetensors.index.json"


@pytest.mark.parametrize(
    "content",
    [
        *({}, {"weight_map": {}}, {"weight_map": None}, {"weight_map": []}, {"weight_map": {"a": 1}}, [], 5, "x"),
        *({"weight_map": {"a": "../x.safetensors"}}, {"weight_map": {"a": "/etc/x.safetensors"}}),
        *({"weight_map": {"a": "model-00009-of-00009.safetensors"}}, {"weight_map": {"a": "config.json"}}),
        {"weight_map": {"a": "pytorch_model.bin"}},
    ],
    ids=str,
)
def test_a_wrong_index_of_shards_is_refused(folder, content):
    (folder / WEIGHTS).unlink()
    (folder / INDEX).write_text(json.dumps(content))
    for load in (Recommender.from_pretrained, AutoModelForNextItem.from_pretrained):
        with pytest.raises(ValueError, match=r"^[^\n]*$"):
            load(folder)


DAMAGES = {
    "empty": lambda content: b"",
    "half": lambda content: content[: len(content) // 2],
    "end gone": lambda content: content[:-3],
    "zeros": lambda content: bytes(len(content)),
    "letters": lambda content: b"not what it was\n" * 9,
    "deep": lambda content: b'{"a":' * 100_000,
    "a list": lambda content: b"[1, 2]",
    "null": lambda content: b"null",
    "a huge number": lambda content: b'{"vocab_size": ' + b"9" * 5000 + b"}",
    "duplicate keys": lambda content: content.replace(b"{", b'{"model_type": "x", "hidden_size": "y",', 1),
}
FILES = ("config.json", WEIGHTS, "tokenizer.json", "tokenizer_config.json", "items.parquet")


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", [*DAMAGES, "a folder", "gone"])
def test_a_damaged_file_is_refused(folder, recommender, name, damage):
    expected = top(Recommender.from_pretrained(folder))
    content = (folder / name).read_bytes()
    (folder / name).unlink()
    if damage == "a folder":
        (folder / name).mkdir()
    elif damage in DAMAGES:
        (folder / name).write_bytes(DAMAGES[damage](content))
    assert answers_alike_or_is_refused(folder, expected) or damage == "duplicate keys"


def test_loading_in_threads_leaves_the_library_s_logging_as_it_was(folder):
    before, errors = logging.get_verbosity(), []

    def load():
        try:
            for _ in range(3):
                Recommender.from_pretrained(folder)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=load) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert logging.get_verbosity() == before
    assert not errors
