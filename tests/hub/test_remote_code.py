import ast
import json
import os
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM, masking_utils
from transformers.dynamic_module_utils import check_imports, get_relative_import_files

from seqrec.hub.remote_code import auto_classes, flatten_modules, write_remote_code
from seqrec.modeling import masks as masks_module
from seqrec.modeling.modeling_auto import MODEL_TYPES, AutoModelForNextItem
from seqrec.modeling.objectives import MASKED_ITEM
from seqrec.testing.tiny_inputs import NUM_ITEMS, TINY

INPUT_IDS = [[5, 3, 9, 4, 30]]

# Runs where seqrec cannot be imported: loads each folder argv[1:], saves it as FOLDER-resaved, loads that, and writes
# the outputs of the models to FOLDER.pt.
STRANGER = """
import sys

class NoSeqrec:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "seqrec":
            raise ImportError("seqrec is not installed here")

sys.meta_path.insert(0, NoSeqrec())

import json
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForMaskedLM

input_ids = torch.tensor({input_ids})
for folder in sys.argv[1:]:
    resaved = folder + "-resaved"
    found = dict()
    with torch.no_grad():
        for name in (folder, resaved):
            config = AutoConfig.from_pretrained(name, trust_remote_code=True)
            assert config.hidden_size == 16
            auto_head = AutoModelForCausalLM if "AutoModelForCausalLM" in config.auto_map else AutoModelForMaskedLM
            backbone = AutoModel.from_pretrained(name, trust_remote_code=True).eval()
            head = auto_head.from_pretrained(name, trust_remote_code=True).eval()
            found[name, "hidden"] = backbone(input_ids).last_hidden_state
            found[name, "logits"] = head(input_ids).logits
            found[name, "users"] = head.encode_users(input_ids)
            head.save_pretrained(resaved)
    text = (Path(resaved) / "config.json").read_text()
    (Path(resaved) / "config.json").write_text(json.dumps({**json.loads(text), "invented": 1}))
    config = AutoConfig.from_pretrained(resaved, trust_remote_code=True)
    AutoModel.from_pretrained(resaved, trust_remote_code=True)
    by_name = lambda **fields: AutoModel.from_pretrained(resaved, trust_remote_code=True, **fields)
    for by_hand in (type(config), by_name):
        try:
            by_hand(invented=1)
        except ValueError as error:
            assert "has no field 'invented'" in str(error)
        else:
            raise AssertionError("invented")
    for change in ('"num_attention_heads": 4', '"layer_norm_eps": NaN', '"num_hidden_layers": 1000'):
        text = (Path(resaved) / "config.json").read_text()
        (Path(resaved) / "config.json").write_text(json.dumps({**json.loads(text), **json.loads("{" + change + "}")}))
        try:
            AutoModel.from_pretrained(resaved, trust_remote_code=True)
        except ValueError as error:
            assert "\\n" not in str(error)
        else:
            raise AssertionError(change)
        (Path(resaved) / "config.json").write_text(text)
    torch.save(found, folder + ".pt")
assert not [name for name in sys.modules if name.partition(".")[0] == "seqrec"]
"""


@pytest.fixture
def saved(tiny_model, tmp_path):
    """A folder with a saved model and its code."""
    folder = tmp_path / "saved"
    tiny_model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """A saved folder of each architecture, loaded and saved again by one process that cannot import seqrec."""
    work = tmp_path_factory.mktemp("elsewhere")
    for model_type, config_class in MODEL_TYPES.items():
        torch.manual_seed(0)
        config = config_class(vocab_size=NUM_ITEMS + 3, **TINY, initializer_range=0.5)
        AutoModelForNextItem.from_config(config).save_pretrained(work / model_type)
    done = subprocess.run(
        [sys.executable, "-c", STRANGER.replace("{input_ids}", str(INPUT_IDS)), *map(str, work.iterdir())],
        cwd=work,
        env=os.environ | {"HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": str(work / "modules")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return work


def test_loads_and_resaves_where_seqrec_cannot_be_imported(tiny_model, model_type, elsewhere):
    found = torch.load(elsewhere / f"{model_type}.pt", weights_only=True)
    input_ids = torch.tensor(INPUT_IDS)
    with torch.no_grad():
        expected = {
            "hidden": tiny_model.model(input_ids).last_hidden_state,
            "logits": tiny_model(input_ids).logits,
            "users": tiny_model.encode_users(input_ids),
        }
    for folder in (elsewhere / model_type, elsewhere / f"{model_type}-resaved"):
        for name, value in expected.items():
            assert torch.equal(found[str(folder), name], value), (folder.name, name)


def test_what_transformers_will_check(saved, tiny_config):
    files = {path.name for path in saved.glob("*.py")}
    main = f"modeling_{tiny_config.model_type}.py"
    followed = {Path(path).name for path in get_relative_import_files(saved / main)}
    assert followed | {main} == files
    for name in files:
        check_imports(saved / name)  # raises if a package is missing


def test_no_import_of_seqrec_remains_and_nothing_else_changed(saved, tiny_model):
    for path in saved.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                assert all(not name.name.startswith("seqrec") for name in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert not (node.module or "").startswith("seqrec")
    module = sys.modules[type(tiny_model).__module__]
    original = Path(module.__file__).read_text().splitlines()
    written = (saved / Path(module.__file__).name).read_text().splitlines()
    changed = [(old, new) for old, new in zip(original, written, strict=True) if old != new]
    assert changed
    for old, new in changed:
        assert old.startswith("from seqrec.")
        assert new == f"from .{old.split(' import ')[0].rpartition('.')[2]} import {old.split(' import ')[1]}"


def test_writing_twice_changes_nothing(saved, tiny_model):
    before = {path.name: path.read_bytes() for path in saved.iterdir()}
    written = write_remote_code(tiny_model, saved)
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before
    assert sorted(path.name for path in written) == sorted(name for name in before if name.endswith(".py"))


def test_classes_are_all_that_changes_in_the_configuration(tiny_model, tmp_path):
    tiny_model.write_code = None
    tiny_model.save_pretrained(tmp_path)
    before = json.loads((tmp_path / "config.json").read_text())
    write_remote_code(tiny_model, tmp_path)
    after = json.loads((tmp_path / "config.json").read_text())
    auto_map, (pipeline,) = after.pop("auto_map"), after.pop("custom_pipelines").values()
    assert after.pop("config_without_remote_code") == {"model_type": ""}
    assert after == before
    head = tiny_model.objective.auto_class
    assert pipeline["pt"] == [head]
    assert set(auto_map) == {"AutoConfig", "AutoModel", head}
    assert auto_map[head].endswith(f".{type(tiny_model).__name__}")
    for reference in (*auto_map.values(), pipeline["impl"]):
        module, class_ = reference.split(".")
        assert f"\nclass {class_}(" in (tmp_path / f"{module}.py").read_text()


def test_head_of_a_bidirectional_model_is_for_masked_lm(tiny_model):
    tiny_model.model.objective = MASKED_ITEM
    assert auto_classes(tiny_model)["AutoModelForMaskedLM"] is type(tiny_model)
    assert "AutoModelForCausalLM" not in auto_classes(tiny_model)


def test_backbone_alone(tiny_model, tmp_path):
    tiny_model.model.save_pretrained(tmp_path)
    write_remote_code(tiny_model.model, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert set(config["auto_map"]) == {"AutoConfig", "AutoModel"}
    assert "custom_pipelines" not in config


def test_no_trust_is_asked_where_seqrec_is_imported(saved, tiny_model):
    assert type(AutoConfig.from_pretrained(saved)) is type(tiny_model.config)
    assert type(AutoModel.from_pretrained(saved)) is type(tiny_model.model)
    auto_head = AutoModelForCausalLM if tiny_model.objective.is_causal else AutoModelForMaskedLM
    assert type(auto_head.from_pretrained(saved)) is type(tiny_model)


def test_model_of_another_package_is_left_to_transformers(tiny_model, tmp_path):
    subclass = type("MyModel", (type(tiny_model),), {"__module__": "my_package.modeling"})
    model = subclass(tiny_model.config)
    model.save_pretrained(tmp_path)
    before = (tmp_path / "config.json").read_text()
    assert write_remote_code(model, tmp_path) == []
    assert (tmp_path / "config.json").read_text() == before
    assert not list(tmp_path.glob("*.py"))


def test_model_of_remote_code_is_left_alone(tiny_model, tmp_path):
    remote = type("Remote", (type(tiny_model),), {"__module__": "transformers_modules.folder.modeling"})
    assert write_remote_code(remote(tiny_model.config), tmp_path) == []


def test_folder_without_a_saved_model_is_refused(tiny_model, tmp_path):
    with pytest.raises(ValueError, match=r"holds no config\.json"):
        write_remote_code(tiny_model, tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def make_package(tmp_path, monkeypatch):
    """Write a package of modules, given as path → source, and return its name."""
    name = f"fake_{tmp_path.name}"

    def make(**sources):
        for path, source in sources.items():
            file = tmp_path.joinpath(name, *path.split("__")).with_suffix(".py")
            file.parent.mkdir(parents=True, exist_ok=True)
            (file.parent / "__init__.py").touch()
            file.write_text(source.replace("PACKAGE", name))
        (tmp_path / name / "__init__.py").touch()
        monkeypatch.syspath_prepend(tmp_path)
        return name

    return make


def test_flattening_follows_imports_of_imports(make_package):
    name = make_package(
        low__numbers="TWO = 2\n",
        low__unused="raise RuntimeError\n",
        high__maths="from PACKAGE.low.numbers import TWO\n\nFOUR = TWO + TWO\n",
        high__start=(
            '"""Start: from PACKAGE.low.unused import nothing."""\n'
            "import json; from PACKAGE.low.numbers import (\n    TWO,\n)\n"
            "from PACKAGE.high.maths import FOUR as four\n\nEIGHT = four * TWO\n"
        ),
    )
    assert flatten_modules([f"{name}.high.start"], {name}) == {
        "maths.py": "from .numbers import TWO\n\nFOUR = TWO + TWO\n",
        "start.py": (
            f'"""Start: from {name}.low.unused import nothing."""\n'
            "import json; from .numbers import (\n    TWO,\n)\n"
            "from .maths import FOUR as four\n\nEIGHT = four * TWO\n"
        ),
        "numbers.py": "TWO = 2\n",
    }


def test_a_module_that_was_edited_is_written_as_it_is_now(make_package, tmp_path):
    name = make_package(low__one="ONE = 1\n", low__two="TWO = 2\n", low__start="from PACKAGE.low.one import ONE\n")
    assert flatten_modules([f"{name}.low.start"], {name}) == {
        "one.py": "ONE = 1\n",
        "start.py": "from .one import ONE\n",
    }
    (tmp_path / name / "low" / "start.py").write_text(f"import sys\n\nfrom {name}.low.two import TWO\n")
    for _ in range(2):
        assert flatten_modules([f"{name}.low.start"], {name}) == {
            "start.py": "import sys\n\nfrom .two import TWO\n",
            "two.py": "TWO = 2\n",
        }


def test_modules_that_import_each_other_are_each_written_once(make_package):
    name = make_package(
        room__a="import sys\nfrom PACKAGE.room.b import B\n\nA = 1\n",
        room__b="B = 2\nfrom PACKAGE.room.a import sys\n",
    )
    assert list(flatten_modules([f"{name}.room.b", f"{name}.room.a"], {name})) == ["a.py", "b.py"]


@pytest.mark.parametrize(
    "source",
    [
        "def late():\n    from PACKAGE.low.numbers import TWO\n",
        "if True:\n    from PACKAGE.low.numbers import TWO\n",
        "import PACKAGE.low.numbers\n",
        "import PACKAGE\n",
        "from PACKAGE import low\n",
        "from PACKAGE.low import numbers\n",
        "from .numbers import TWO\n",
        "from . import numbers\n",
    ],
)
def test_imports_that_cannot_be_followed_are_refused(make_package, source):
    name = make_package(low__numbers="TWO = 2\n", low__start=source)
    with pytest.raises(ValueError, match=rf"of {name}\.low\.start \(.*import.*\) cannot be made remote code"):
        flatten_modules([f"{name}.low.start"], {name})


def test_two_modules_of_one_basename_are_refused(make_package):
    name = make_package(
        low__numbers="TWO = 2\n",
        high__numbers="from PACKAGE.low.numbers import TWO\n",
    )
    with pytest.raises(
        ValueError, match=rf"{name}\.high\.numbers and {name}\.low\.numbers would both become numbers\.py"
    ):
        flatten_modules([f"{name}.high.numbers"], {name})


def test_masks_are_made_with_and_without_the_argument_that_newer_libraries_leave_out(tiny_model, monkeypatch):
    whole = masking_utils.create_causal_mask

    def newer(config, inputs_embeds, attention_mask, position_ids=None):
        return whole(config, inputs_embeds, attention_mask, past_key_values=None, position_ids=position_ids)

    masks = []
    for function in (whole, newer):
        monkeypatch.setattr(masking_utils, "create_causal_mask", function)
        spec = spec_from_file_location("published_masks", Path(masks_module.__file__))
        published = module_from_spec(spec)
        spec.loader.exec_module(published)
        hidden, mask = torch.zeros(1, 3, 16), torch.tensor([[0, 1, 1]])
        masks.append(published.causal_mask(tiny_model.config, hidden, mask, None))
    assert torch.equal(*masks)
