"""The folder of a Space is complete, and its program can be read."""

import ast
import os
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from demo_models import make_recommender
from packaging.requirements import Requirement

from seqrec.cli.command_line import main
from seqrec.errors import InputError, SavedFolderError
from seqrec.hub.product_files import product_files
from seqrec.inference.demo.space_files import GRADIO, write_space

ROOT = Path(__file__).parents[3]


def settings_of(folder):
    _, front, text = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(front), text


def calls_of(folder):
    """Return the names and arguments of the calls at the top of app.py."""
    tree = ast.parse((folder / "app.py").read_text(encoding="utf-8"))
    return [ast.unparse(node.value) for node in tree.body if isinstance(node, ast.Expr)][1:]


def test_a_model_of_the_hub_is_named(tmp_path, capsys):
    assert main(["space", "--model", "org/name", "--output_dir", str(tmp_path / "space")]) == 0
    assert f"hf upload ORG/NAME {tmp_path / 'space'} --repo-type space" in capsys.readouterr().out
    settings, text = settings_of(tmp_path / "space")
    assert settings["models"] == ["org/name"]
    assert (settings["sdk"], settings["sdk_version"], settings["app_file"]) == ("gradio", GRADIO, "app.py")
    assert "https://huggingface.co/org/name" in text
    assert calls_of(tmp_path / "space") == ["show_page('org/name', name='org/name')"]
    assert (tmp_path / "space/requirements.txt").read_text() == f"seqrec[demo]=={version('seqrec')}\n"
    assert sorted(os.listdir(tmp_path / "space")) == ["README.md", "app.py", "requirements.txt"]


def test_a_model_in_a_folder_is_copied(tmp_path):
    model = tmp_path / "a model"
    make_recommender().save_pretrained(model)
    (model / "secret.txt").write_text("x")
    title = 'Films: "{new}" \\ one\ntwo'
    assert main(["space", "--model", str(model), "--output", str(tmp_path / "space"), "--title", title]) == 0
    settings, _ = settings_of(tmp_path / "space")
    assert settings["title"] == title
    assert "models" not in settings
    assert calls_of(tmp_path / "space") == [f"show_page(Path(__file__).with_name('model'), name={title!r})"]
    copied = tmp_path / "space/model"
    assert {path.relative_to(copied) for path in copied.rglob("*") if path.is_file()} == {
        path.relative_to(model) for path in product_files(model)
    }
    assert not (copied / "secret.txt").exists()


def test_what_is_wrong_is_said_before_anything_is_written(tmp_path, capsys):
    with pytest.raises(InputError, match="is not a folder here"):
        write_space(tmp_path / "nowhere", tmp_path / "space")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SavedFolderError, match="holds no model"):
        write_space(tmp_path / "empty", tmp_path / "space")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/app.py").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        write_space("org/name", tmp_path / "full")
    assert main(["space", "--model", "org/name", "--output_dir", str(tmp_path / "full")]) == 2
    assert "not empty" in capsys.readouterr().err
    assert not (tmp_path / "space").exists()
    assert (tmp_path / "full/app.py").read_text() == "mine"


def test_the_space_installs_the_tested_gradio():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"gradio=={GRADIO}\n" in (ROOT / "constraints.txt").read_text()
    assert all(Requirement(text).specifier.contains(GRADIO) for text in project["optional-dependencies"]["demo"])
