"""`seqrec endpoint` makes a folder ready for an inference endpoint of the Hub."""

import subprocess
import sys
from importlib.metadata import requires
from importlib.util import module_from_spec, spec_from_file_location

import pytest

from seqrec import Recommender
from seqrec.cli.command_line import main
from seqrec.errors import InputError, SavedFolderError
from seqrec.hub.endpoint_files import write_endpoint_files
from seqrec.hub.product_files import product_files

HISTORY = ["item 3", "item 9"]


@pytest.fixture
def model_type():
    return "sasrec"


@pytest.fixture
def choices():
    return {"tasks": ["next_item", "rating"], "rating_scale": [1, 5]}


def handler_of(folder):
    """Import the handler as the platform does, and create it with the folder."""
    spec = spec_from_file_location("handler", folder / "handler.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.EndpointHandler(str(folder))


def test_the_handler_answers_as_the_recommender(folder, capsys):
    assert main(["endpoint", "--model", str(folder)]) == 0
    assert "handler.py" in capsys.readouterr().out
    handler = handler_of(folder)
    recommender = Recommender.from_pretrained(folder, device="cpu")
    found = handler({"inputs": HISTORY, "parameters": {"top_k": 5, "deny": ["item 1"]}})
    expected = recommender.recommend(HISTORY, 5, deny=["item 1"])
    assert [(one["item_id"], one["title"]) for one in found] == [(one.item_id, one.title) for one in expected]
    assert [one["score"] for one in found] == pytest.approx([one.score for one in expected], abs=1e-5)
    assert [len(one) for one in handler({"inputs": [HISTORY, ["item 4"]]})] == [10, 10]
    (predicted,) = handler({"inputs": {"history": HISTORY, "candidates": ["item 5"]}})
    assert predicted["rating"] == pytest.approx(recommender.predict(HISTORY, ["item 5"])["rating"][0], abs=1e-5)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([], "A request is an object"),
        ({"history": []}, "A request is an object"),
        ({"inputs": [], "parameters": {"k": 5}}, "There is no parameter 'k'. The parameters are top_k"),
        ({"inputs": [], "parameters": {"top_k": 0}}, "top_k=0 is not an integer"),
        ({"inputs": "item 1"}, "A history is a list of item ids"),
    ],
)
def test_the_handler_says_what_is_wrong(folder, data, words):
    write_endpoint_files(folder)
    with pytest.raises(ValueError, match=words):
        handler_of(folder)(data)


def test_the_handler_needs_no_seqrec(folder):
    write_endpoint_files(folder)
    code = (
        "import sys, warnings; sys.modules['seqrec'] = None; sys.path.insert(0, '.')\n"
        "from handler import EndpointHandler\n"
        "print(len(EndpointHandler('.')({'inputs': ['item 3'], 'parameters': {'top_k': 3}})))"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (0, "3\n"), run.stderr


def test_requirements_are_those_of_the_package(folder):
    write_endpoint_files(folder)
    lines = (folder / "requirements.txt").read_text().splitlines()
    assert [line.partition(">")[0] for line in lines][:2] == ["transformers", "torch"]
    assert set(lines) <= set(requires("seqrec"))


def test_both_files_are_pushed_with_the_model(folder):
    assert not {"handler.py", "requirements.txt"} & {path.name for path in product_files(folder)}
    write_endpoint_files(folder)
    write_endpoint_files(folder)  # again, as after an update
    assert {"handler.py", "requirements.txt"} <= {path.name for path in product_files(folder)}


def test_other_files_of_these_names_are_left_alone(folder):
    (folder / "handler.py").write_text("secret = 1")
    (folder / "requirements.txt").write_text("mine")
    assert not {"handler.py", "requirements.txt"} & {path.name for path in product_files(folder)}
    with pytest.raises(InputError, match="was not written by seqrec"):
        write_endpoint_files(folder)
    assert (folder / "requirements.txt").read_text() == "mine"


def test_folders_without_a_model_are_refused(folder, tmp_path):
    with pytest.raises(InputError, match="There is no folder"):
        write_endpoint_files(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SavedFolderError, match="holds no model"):
        write_endpoint_files(tmp_path / "empty")
    (folder / "config.json").write_text("{}")
    with pytest.raises(SavedFolderError, match="no code of a pipeline"):
        write_endpoint_files(folder)
