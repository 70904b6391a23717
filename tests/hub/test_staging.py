"""A model is saved atomically."""

import os
import time
from contextlib import suppress
from pathlib import Path

import pytest

from seqrec.hub.staging import staged


def save(folder, **contents):
    with staged(folder) as stage:
        for name, content in contents.items():
            path = stage / name.replace("__", "/").replace("_", ".", 1)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)


def save_and_fail(folder, kind):
    with staged(folder) as stage:
        (stage / "config.json").write_text("new")
        raise kind


def files_of(folder):
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_new_files_replace_old_ones_and_others_stay(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    save(tmp_path, config_json="old", model_safetensors="old", items_parquet="old", code__a_py="old")
    save(tmp_path, config_json="new", model_safetensors="new", code__a_py="new")
    assert files_of(tmp_path) == {
        **{"notes.txt": "mine", "items.parquet": "old"},
        **{"config.json": "new", "model.safetensors": "new", "code/a.py": "new"},
    }


@pytest.mark.parametrize(
    "stale",
    [
        *(
            "metrics.json",
            "training_curve.png",
            "slices.png",
            "item_map.png",
            "model.safetensors",
            "model.safetensors.index.json",
        ),
        *("model-00001-of-00002.safetensors", "adapter_config.json", "adapter_model.safetensors"),
    ],
)
def test_what_would_be_taken_for_the_new_model_s_goes(tmp_path, stale):
    save(tmp_path, config_json="old")
    (tmp_path / stale).write_text("old")
    save(tmp_path, config_json="new")
    assert files_of(tmp_path) == {"config.json": "new"}


def test_a_record_in_a_folder_without_a_model_is_not_ours(tmp_path):
    (tmp_path / "metrics.json").write_text("mine")
    save(tmp_path, config_json="new")
    assert files_of(tmp_path) == {"config.json": "new", "metrics.json": "mine"}


def test_the_stage_bears_the_folder_s_name_and_lies_in_it(tmp_path):
    with staged(tmp_path / "a" / "films") as stage:
        assert (stage.name, stage.parents[1], list(stage.iterdir())) == ("films", tmp_path / "a" / "films", [])


@pytest.mark.parametrize("kind", [OSError, KeyboardInterrupt])
def test_after_an_error_the_old_model_is_untouched(tmp_path, kind):
    folder = tmp_path / "films"
    save(folder, config_json="old", model_safetensors="old", metrics_json="old")
    before = files_of(tmp_path)
    for target in (folder, tmp_path / "new"):
        with pytest.raises(kind):
            save_and_fail(target, kind)
    assert files_of(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == ["films"]


@pytest.fixture
def killed_after(monkeypatch):
    """Save, and be killed after so many changes of the folder."""

    def save_and_be_killed(num_changes, folder, **contents):
        left = iter(range(num_changes))

        def counted(change):
            def change_or_die(*args, **kwargs):
                if next(left, None) is None:
                    raise KeyboardInterrupt
                return change(*args, **kwargs)

            return change_or_die

        with monkeypatch.context() as patched, suppress(KeyboardInterrupt):
            patched.setattr(os, "replace", counted(os.replace))
            patched.setattr(Path, "unlink", counted(Path.unlink))
            save(folder, **contents)

    return save_and_be_killed


def test_killed_at_any_change_it_leaves_a_whole_model_or_none(tmp_path, killed_after):
    names = ["config_json", "model_safetensors", "items_parquet", "metrics_json"]
    configs = []
    for num_changes in range(13):
        folder = tmp_path / str(num_changes)
        save(folder, **dict.fromkeys(names, "old"))
        killed_after(num_changes, folder, **dict.fromkeys(names, "new"))
        found = files_of(folder)
        configs.append(found.get("config.json"))
        if configs[-1] is not None:
            metrics = {found.pop("metrics.json", "old")}  # an old model may have lost its metrics already
            assert {*found.values()} | metrics == {configs[-1]}
    assert (configs[0], configs[-1]) == ("old", "new")
    assert None in configs


def test_links_are_replaced_not_written_through(tmp_path):
    (tmp_path / "elsewhere").write_text("not ours")
    folder = tmp_path / "films"
    folder.mkdir()
    (folder / "config.json").symlink_to(tmp_path / "elsewhere")
    save(folder, config_json="new")
    assert (tmp_path / "elsewhere").read_text() == "not ours"
    assert files_of(folder) == {"config.json": "new"}


def test_what_killed_saves_left_goes_after_a_day(tmp_path):
    for name, age in ((".saving-old", 2 * 24 * 3600), (".saving-new", 60)):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (time.time() - age,) * 2)
    save(tmp_path, config_json="new")
    assert {path.name for path in tmp_path.iterdir()} == {"config.json", ".saving-new"}


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_a_file_is_no_folder(tmp_path, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"is a file\. Give a folder"):
        save(tmp_path / name, config_json="new")
