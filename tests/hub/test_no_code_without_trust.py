"""Code in a model's folder never runs unless the user trusts it, whatever its file name and wherever it is named."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from seqrec import Recommender

RUN = "from pathlib import Path\nPath({mark!r}).touch()\n"
PICKLES = (
    *("pytorch_model.bin", "adapter_model.bin", "training_args.bin", "optimizer.pt", "scheduler.pt", "model.pkl"),
    *("rng_state.pth", "model.ckpt", "items.pkl", "tokenizer.pkl", "model.joblib"),
)


@pytest.fixture
def model_type():
    return "sasrec"


@pytest.fixture
def mark(tmp_path):
    """A file that is there once code of the folder has run."""
    return tmp_path / "code was run"


@pytest.fixture
def folder(recommender, tmp_path, mark):
    """A saved recommender whose every module would leave the mark."""
    folder = tmp_path / "model"
    recommender.save_pretrained(folder)
    for name in ["evil", "__init__", "sitecustomize", "conftest", *(path.stem for path in folder.glob("*.py"))]:
        (folder / f"{name}.py").write_text(RUN.format(mark=str(mark)) + "class Evil: pass\n")
    return folder


class Bomb:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (Path(self.mark),)


def merge(path, **entries):
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


def pickles_under_many_names(folder, mark):
    for name in PICKLES:
        (folder / name).write_bytes(pickle.dumps(Bomb(str(mark))))


def only_a_pickle(folder, mark):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(str(mark))))


def a_pickle_in_place_of_the_weights(folder, mark):
    (folder / "model.safetensors").write_bytes(pickle.dumps(Bomb(str(mark))))


def a_pickle_as_a_shard(folder, mark):
    (folder / "model.safetensors").unlink()
    index = {"metadata": {}, "weight_map": {"model.final_norm.weight": "evil.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "evil.safetensors").write_bytes(pickle.dumps(Bomb(str(mark))))


def auto_map(folder, mark):
    names = ("AutoConfig", "AutoModel", "AutoModelForCausalLM", "AutoTokenizer", "AutoModelForNextItem")
    merge(folder / "config.json", auto_map=dict.fromkeys(names, "evil.Evil"))


def custom_pipelines(folder, mark):
    merge(folder / "config.json", custom_pipelines={"next-item-recommendation": {"impl": "evil.Evil", "pt": ["x"]}})


def auto_map_of_the_tokenizer(folder, mark):
    tokenizers = {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}
    merge(folder / "tokenizer_config.json", auto_map=tokenizers, tokenizer_class="Evil", trust_remote_code=True)


def chat_template(folder, mark):
    template = "{{ cycler.__init__.__globals__.os.system('touch \"" + str(mark) + "\"') }}"
    merge(folder / "tokenizer_config.json", chat_template=template)
    (folder / "chat_template.jinja").write_text(template)


def kernel(folder, mark):
    merge(folder / "config.json", attn_implementation="org/kernel:attend")


def trust_in_the_configuration(folder, mark):
    auto_map(folder, mark)
    merge(folder / "config.json", trust_remote_code=True)


def quantizer(folder, mark):
    merge(folder / "config.json", quantization_config={"quant_method": "evil", "modules": ["evil.Evil"]})


def adapter(folder, mark):
    (folder / "adapter_config.json").write_text(
        json.dumps({"base_model_name_or_path": str(folder), "peft_type": "LORA", "auto_mapping": {"a": "evil.Evil"}})
    )
    (folder / "adapter_model.bin").write_bytes(pickle.dumps(Bomb(str(mark))))


def metadata_of_the_weights(folder, mark):
    tensors = load_file(folder / "model.safetensors")
    save_file(tensors, folder / "model.safetensors", {"seqrec_scoring": "__import__('evil')", "format": "pt"})


ATTEMPTS = [
    *(pickles_under_many_names, only_a_pickle, a_pickle_in_place_of_the_weights, a_pickle_as_a_shard, auto_map),
    *(custom_pipelines, auto_map_of_the_tokenizer, chat_template, kernel, trust_in_the_configuration, quantizer),
    *(adapter, metadata_of_the_weights),
]


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.__name__)
@pytest.mark.filterwarnings("ignore")
def test_nothing_of_a_folder_is_run(folder, mark, attempt, monkeypatch):
    attempt(folder, mark)
    monkeypatch.chdir(folder)
    refusal = ""
    try:
        assert Recommender.from_pretrained(folder).recommend(["item 5"])
    except ValueError as error:
        refusal = str(error)
    assert "\n" not in refusal
    assert not mark.exists()


def test_nothing_of_the_working_directory_is_run_by_the_command(folder, mark):
    auto_map(folder, mark)
    run = "import sys\nsys.path.remove('')\nfrom seqrec.cli.command_line import main\nsys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", run, "recommend", "--model", str(folder), "--history", "item 5"]
    done = subprocess.run(command, cwd=folder, env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not mark.exists()


def test_the_mark_is_left_where_code_is_run(folder, mark):
    exec((folder / "evil.py").read_text(), {})
    assert mark.exists()
    mark.unlink()
    pickle.loads(pickle.dumps(Bomb(str(mark))))
    assert mark.exists()
