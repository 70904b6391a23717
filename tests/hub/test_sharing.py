"""Which files of a folder are shared or refused, tested without a server."""

import json

import pytest

from seqrec.cli.command_line import main
from seqrec.hub.product_files import prepared_set_files, product_files
from seqrec.hub.sharing import push_folder, push_prepared_set
from seqrec.interactions.data_arguments import DataArguments
from seqrec.interactions.preparation import prepare


@pytest.mark.parametrize("name", ["training_args.bin", "optimizer.pt", "model.pkl"])
def test_a_folder_with_a_pickle_is_refused(recommender, tmp_path, name):
    recommender.save_pretrained(tmp_path)
    (tmp_path / name).touch()
    with pytest.raises(ValueError, match=f"holds {name}, which may be pickles"):
        push_folder(tmp_path, "org/name")


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_a_folder_without_a_model_is_refused(recommender, tmp_path, missing):
    recommender.save_pretrained(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(ValueError, match=r"holds no model: expected config\.json and model\.safetensors"):
        push_folder(tmp_path, "org/name")
    with pytest.raises(ValueError, match="is not a folder"):
        push_folder(tmp_path / "nowhere", "org/name")


def test_offline_is_told_in_one_line(recommender, tmp_path, capsys):
    recommender.save_pretrained(tmp_path)
    capsys.readouterr()
    assert main(["push", "--model", str(tmp_path), "--repo_id", "org/name"]) == 2
    line = capsys.readouterr().err
    assert line.startswith("seqrec push: 'org/name' could not be pushed: this needs the Hub, but HF_HUB_OFFLINE=1")
    assert line.count("\n") == 1


STRAY = (
    *("notes.txt", "trainer_state.json", "interactions.parquet", ".env", "events.out.tfevents", "my_settings.py"),
    *(".local.py", "model-00001-of-00002.safetensors", "model.safetensors.index.json", "_secret.py"),
)


def test_only_what_was_written_for_the_model_is_shared(recommender, tmp_path):
    recommender.save_pretrained(tmp_path)
    written = {path.name for path in tmp_path.iterdir()}
    for name in STRAY:
        (tmp_path / name).write_text("TOP-SECRET")
    (tmp_path / "checkpoint-1").mkdir()
    (tmp_path / "attention.py").write_text((tmp_path / "attention.py").read_text() + "\nfrom .my_helper import x\n")
    (tmp_path / "my_helper.py").write_text("x = 1")
    assert {path.name for path in product_files(tmp_path)} == written | {"my_helper.py"}


def test_exported_graphs_are_shared(recommender, tmp_path):
    recommender.save_pretrained(tmp_path)
    graphs = {
        "onnx/model.onnx",
        "onnx/seqrec_export.json",
        "openvino/openvino_model.xml",
        "openvino/openvino_model.bin",
    }
    for name in (*graphs, "onnx/notes.txt", "torch-export/model.pt2"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("graph")
    names = {path.relative_to(tmp_path).as_posix() for path in product_files(tmp_path)}
    assert {name for name in names if "/" in name} == graphs
    (tmp_path / "onnx").rename(tmp_path / "elsewhere")
    (tmp_path / "onnx").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="holds onnx as a link"):
        product_files(tmp_path)


def test_shards_are_shared_as_their_index_names_them(recommender, tmp_path):
    recommender.model.save_pretrained(tmp_path, max_shard_size="2kB")
    shards = {path.name for path in tmp_path.glob("*.safetensors")}
    (tmp_path / "model-00001-of-00099.safetensors").write_text("TOP-SECRET")
    found = {path.name for path in product_files(tmp_path)}
    assert {name for name in found if "safetensors" in name} == shards | {"model.safetensors.index.json"}


@pytest.mark.parametrize(
    "name", ["training_curve.png", "README.md", "model.safetensors", "attention.py", "config.json"]
)
def test_a_link_is_not_followed(recommender, tmp_path, name):
    recommender.save_pretrained(tmp_path / "model")
    path = tmp_path / "model" / name
    if path.exists():
        path.rename(tmp_path / "elsewhere")
    else:
        (tmp_path / "elsewhere").write_text("TOP-SECRET")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match=f"holds {name} as a link, which would publish a file from elsewhere"):
        push_folder(tmp_path / "model", "org/name")


@pytest.mark.parametrize(
    "changes",
    [
        *({"auto_map": 5}, {"auto_map": {"a": 5, "b": None, "c": [None, "x.Y"]}}, {"custom_pipelines": {"a": "x"}}),
        *({"auto_map": {"a": "../../secret.Class"}}, {"auto_map": {"a": "org/name--module.Class"}}),
        {"custom_pipelines": {"a": {"impl": ["x"]}}},
    ],
    ids=str,
)
def test_odd_references_to_code_name_no_file(recommender, tmp_path, changes):
    recommender.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["auto_map"], config["custom_pipelines"]
    (tmp_path / "config.json").write_text(json.dumps({**config, **changes}))
    assert not [path for path in product_files(tmp_path) if path.suffix == ".py"]


def test_of_a_prepared_set_only_its_own_files_are_shared(tmp_path):
    prepare(DataArguments("synthetic")).save(tmp_path)
    written = {path.name for path in tmp_path.iterdir()}
    (tmp_path / "interactions.csv").write_text("TOP-SECRET")
    (tmp_path / ".env").write_text("TOP-SECRET")
    assert {path.name for path in prepared_set_files(tmp_path)} == written
    (tmp_path / "README.md").unlink()
    (tmp_path / "README.md").symlink_to(tmp_path / ".env")
    with pytest.raises(ValueError, match=r"holds README\.md as a link"):
        push_prepared_set(tmp_path, "org/name")
