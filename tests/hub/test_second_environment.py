"""A saved folder loads in a new environment with transformers, torch and safetensors, but without seqrec.

The environment, about 1 GB, is built once for all checks, from pip's cache if possible.
"""

import json
import os
import subprocess
import venv
from pathlib import Path

import polars as pl
import pytest
import torch

from seqrec import Recommender
from seqrec.interactions.tokenization_items import ItemTokenizer
from seqrec.modeling.modeling_auto import ARCHITECTURES, MODEL_TYPES, AutoModelForNextItem

REPOSITORY = Path(__file__).parents[2]
ABSENT = ("seqrec", "polars", "pyarrow", "datasets", "accelerate", "pandas")
MODEL_CLASSES = list(MODEL_TYPES)
ITEM_IDS = [
    "50",
    "a b",
    "a, b",
    "naïve",
    "日本",
    " 7 ",
    'say "hi"',
    "x<|pad|>y",
    *(f"item {index}" for index in range(40)),
]
REQUESTS = {
    "one": (["50", "a, b", "日本"], {"top_k": 10}),
    "several": ([["50"], ["a b", " 7 ", "x<|pad|>y"], [*ITEM_IDS[:30]]], {"top_k": 10}),
    "seen": (["naïve", 'say "hi"'], {"top_k": 48, "exclude_seen": False}),
    "denied": (["50", "item 3"], {"top_k": 10, "deny": ["a b", "item 9"]}),
    "allowed": (["50", "item 3"], {"top_k": 10, "allow": ["a b", "item 9"]}),
}

# argv: a JSON file with folders, requests and packages that must be absent; where to write answers as JSON.
STRANGER = """
import importlib.util, json, sys, warnings
from pathlib import Path

task = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
present = [name for name in task["absent"] if importlib.util.find_spec(name)]
assert not present, f"this environment is not clean: {present}"

import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer, pipeline

def answer(folder):
    pipe = pipeline("next-item-recommendation", model=folder, trust_remote_code=True, device="cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = {name: pipe(inputs, **options) for name, (inputs, options) in task["requests"].items()}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found["unknown"] = pipe(["50", "nobody's", "a, b"])
        found["empty"] = pipe([], top_k=5)
    return pipe, {"found": found, "warnings": [str(one.message) for one in caught]}

answers = {}
for model_type, folder in task["folders"].items():
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    ids = tokenizer([task["item_ids"]], is_split_into_words=True, return_tensors="pt").input_ids
    config = AutoConfig.from_pretrained(folder, trust_remote_code=True)
    head_class = AutoModelForCausalLM if "AutoModelForCausalLM" in config.auto_map else AutoModelForMaskedLM
    backbone = AutoModel.from_pretrained(folder, trust_remote_code=True)
    head = head_class.from_pretrained(folder, trust_remote_code=True)
    with torch.no_grad():
        users = head.encode_users(ids[:, :10])
        assert torch.equal(backbone.encode_users(ids[:, :10]), users)
    answers[model_type] = {"token_ids": ids[0].tolist(), "users": users[0].tolist()}
    pipe, answers[model_type]["saved"] = answer(folder)
    head.save_pretrained(folder + "-head")
    tokenizer.save_pretrained(folder + "-head")
    answers[model_type]["head saved again"] = answer(folder + "-head")[1]
    pipe.save_pretrained(folder + "-pipe")
    answers[model_type]["pipeline saved again"] = answer(folder + "-pipe")[1]
Path(sys.argv[2]).write_text(json.dumps(answers), encoding="utf-8")
"""


@pytest.fixture(scope="module")
def stranger_python(tmp_path_factory):
    """The interpreter of a new virtual environment without seqrec."""
    folder = tmp_path_factory.mktemp("second") / "environment"
    venv.create(folder, with_pip=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    command = [python, "-m", "pip", "install", "--quiet", "--no-compile", "-c", REPOSITORY / "constraints.txt"]
    done = subprocess.run(
        [*command, "transformers", "torch", "safetensors"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.fail(
            "The second environment could not be installed; this test needs a package index (or pip's cache) with "
            f"transformers, torch and safetensors.\n{done.stderr[-2000:]}",
            pytrace=False,
        )
    return python


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A saved folder of each architecture, over ids that hold blanks, commas, quotes and other scripts."""
    work = tmp_path_factory.mktemp("folders")
    tokenizer = ItemTokenizer.from_item_ids(ITEM_IDS)
    counts = [1000 - (row * 7) % len(ITEM_IDS) for row in range(len(ITEM_IDS))]  # not in the order of the token ids
    titles = [None if row % 3 == 0 else f"Title, {row} «é»" for row in range(len(ITEM_IDS))]
    items = pl.DataFrame({"item_id": ITEM_IDS, "count": counts, "title": titles})
    found = {}
    for config_class, _, _ in ARCHITECTURES:
        torch.manual_seed(0)
        config = config_class(vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, initializer_range=0.5)
        found[config.model_type] = str(work / config.model_type)
        Recommender(AutoModelForNextItem.from_config(config), tokenizer, items).save_pretrained(
            found[config.model_type]
        )
    return found


@pytest.fixture(scope="module")
def recommenders(folders):
    """What seqrec makes of them.

    Loaded anew, as the last bit of a matrix product may depend on where in memory the weights lie.
    """
    return {model_type: Recommender.from_pretrained(folder) for model_type, folder in folders.items()}


@pytest.fixture(scope="module")
def answers(stranger_python, folders, tmp_path_factory):
    """What the second environment makes of the folders, all loaded in one process."""
    work = tmp_path_factory.mktemp("answers")
    task = {"folders": folders, "requests": REQUESTS, "absent": ABSENT, "item_ids": ITEM_IDS}
    (work / "task.json").write_text(json.dumps(task), encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": str(work / "modules")}
    done = subprocess.run(
        [stranger_python, "-c", STRANGER, work / "task.json", work / "answers.json"],
        cwd=work,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-5000:]
    return json.loads((work / "answers.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("model_type", MODEL_CLASSES)
def test_the_tokenizer_loads_without_trust(answers, recommenders, model_type):
    assert answers[model_type]["token_ids"] == recommenders[model_type].tokenizer.encode_item_ids(ITEM_IDS).tolist()


# argv: a folder, and item ids as JSON.
VOCABULARY = """
import json, sys, warnings
warnings.simplefilter("error")
from transformers import AutoTokenizer, TokenizersBackend

folder, item_ids = sys.argv[1], json.loads(sys.argv[2])
untrusted = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
for tokenizer in (untrusted, TokenizersBackend.from_pretrained(folder)):
    token_ids = tokenizer([[*item_ids, "nobody's"]], is_split_into_words=True).input_ids[0]
    print(json.dumps([token_ids, tokenizer.convert_ids_to_tokens(token_ids), tokenizer.decode(token_ids[:2])]))
"""


def answer_of(python, program, *arguments):
    """What a program prints without a terminal, and its warnings."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [python, "-c", program, *arguments],
        env=environment | {"HF_HUB_OFFLINE": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )


@pytest.mark.parametrize("again", ["", "-head", "-pipe"])
@pytest.mark.usefixtures("answers")
def test_the_vocabulary_loads_without_trust_question_or_warning(stranger_python, folders, again):
    folder = folders[MODEL_CLASSES[0]] + again
    done = answer_of(stranger_python, VOCABULARY, folder, json.dumps(ITEM_IDS))
    token_ids = [*range(3, 3 + len(ITEM_IDS)), 2]
    expected = [token_ids, [*ITEM_IDS, "<|unk|>"], " ".join(ITEM_IDS[:2])]
    assert [json.loads(line) for line in done.stdout.splitlines()] == [expected, expected]
    assert done.stderr == ""


def test_without_an_answer_about_trust_the_vocabulary_loads_without_warnings(stranger_python, folders):
    """transformers asks about the code for the configuration before it looks at the tokenizer."""
    program = VOCABULARY.replace(", trust_remote_code=False", "")
    done = answer_of(stranger_python, program, folders[MODEL_CLASSES[0]], json.dumps(ITEM_IDS))
    assert done.stdout.count("Do you wish to run the custom code?") == 1
    assert done.stderr == ""


@pytest.mark.parametrize("model_type", MODEL_CLASSES)
def test_models_load_and_compute_the_same(answers, recommenders, model_type):
    recommender = recommenders[model_type]
    ids = torch.tensor(recommender.tokenizer.encode_item_ids(ITEM_IDS[:10]))[None]
    with torch.no_grad():
        assert answers[model_type]["users"] == recommender.model.encode_users(ids)[0].tolist()


def as_dicts(recommendations, folder):
    """The pipeline's form of recommendations. A head without its catalogue has no titles."""
    found = [{"item_id": one.item_id, "score": one.score, "title": one.title} for one in recommendations]
    return [{"item_id": one["item_id"], "score": one["score"]} for one in found] if "head" in folder else found


@pytest.mark.parametrize("folder", ["saved", "head saved again", "pipeline saved again"])
@pytest.mark.parametrize("model_type", MODEL_CLASSES)
def test_the_pipeline_answers_bit_for_bit_as_the_recommender(answers, recommenders, model_type, folder):
    found = answers[model_type][folder]["found"]
    for name, (history, options) in REQUESTS.items():
        options = {"k" if option == "top_k" else option: value for option, value in options.items()}
        expected = recommenders[model_type].recommend(history, **options)
        lists = expected if name == "several" else [expected]
        expected = [as_dicts(best, folder) for best in lists]
        assert (found[name] if name == "several" else [found[name]]) == expected, name


@pytest.mark.parametrize("model_type", MODEL_CLASSES)
def test_unknown_items_and_empty_histories_are_reported(answers, recommenders, model_type):
    found, warnings = answers[model_type]["saved"]["found"], answers[model_type]["saved"]["warnings"]
    expected = recommenders[model_type].recommend(["50", "a, b"])
    assert found["unknown"] == as_dicts(expected, "saved")
    assert [one["item_id"] for one in found["empty"]] == [ITEM_IDS[row] for row in (0, 7, 14, 21, 28)]
    assert any("1 of 3 items in this history are not in the vocabulary" in one for one in warnings)
    assert any("1 of 1 histories hold no known item; the most popular items" in one for one in warnings)
