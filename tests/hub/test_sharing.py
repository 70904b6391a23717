"""What of a folder is shared, and what is refused, without any server."""

import pytest

from seqrec.cli import main
from seqrec.hub.sharing import product_files, push_folder


@pytest.mark.parametrize("name", ["training_args.bin", "optimizer.pt", "model.pkl"])
def test_a_folder_with_a_pickle_is_refused(recommender, tmp_path, name):
    recommender.save_pretrained(tmp_path)
    (tmp_path / name).touch()
    with pytest.raises(ValueError, match=f"holds {name}: pickles"):
        push_folder(tmp_path, "org/name")


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_a_folder_without_a_model_is_refused(recommender, tmp_path, missing):
    recommender.save_pretrained(tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(ValueError, match=r"holds no model: expected config\.json and model\.safetensors"):
        push_folder(tmp_path, "org/name")
    with pytest.raises(ValueError, match="is no folder"):
        push_folder(tmp_path / "nowhere", "org/name")


def test_offline_is_told_in_one_line(recommender, tmp_path, capsys):
    recommender.save_pretrained(tmp_path)
    capsys.readouterr()
    assert main(["push", "--model", str(tmp_path), "--repo_id", "org/name"]) == 2
    line = capsys.readouterr().err
    assert line.startswith("seqrec push: 'org/name' could not be pushed: it would need the Hub, but HF_HUB_OFFLINE=1")
    assert line.count("\n") == 1


def test_only_what_belongs_to_a_model_is_shared(tmp_path):
    shared = ["model-00001-of-00002.safetensors", "config.json", "layers.py", "README.md", "items.parquet"]
    for name in [*shared, "notes.txt", "trainer_state.json", "interactions.parquet", ".env", "events.out.tfevents"]:
        (tmp_path / name).touch()
    (tmp_path / "checkpoint-1").mkdir()
    assert sorted(path.name for path in product_files(tmp_path)) == sorted(shared)
