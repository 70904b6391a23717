"""The hash of the weights depends only on the tensors."""

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from seqrec import AutoModelForNextItem
from seqrec.hub.weights_hash import weights_sha256


@pytest.fixture
def folder(tiny_model, tmp_path):
    tiny_model.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test_loading_saving_sharding_and_metadata_keep_it(folder, tmp_path):
    expected = weights_sha256(folder)
    loaded = AutoModelForNextItem.from_pretrained(folder)
    loaded.save_pretrained(tmp_path / "again")
    loaded.save_pretrained(tmp_path / "sharded", max_shard_size="2kB")
    assert len(list((tmp_path / "sharded").glob("*.safetensors"))) > 1
    shutil.copytree(folder, tmp_path / "marked")
    save_file(load_file(folder / "model.safetensors"), tmp_path / "marked" / "model.safetensors", {"a": "b"})
    assert {weights_sha256(tmp_path / name) for name in ("again", "sharded", "marked")} == {expected}


@pytest.mark.parametrize("change", ["value", "name", "dtype", "shape"])
def test_another_tensor_has_another(folder, change):
    before = weights_sha256(folder)
    tensors = load_file(folder / "model.safetensors")
    name = "model.final_norm.weight"
    if change == "value":
        tensors[name][0] += 1
    elif change == "name":
        tensors["model.final_norm.scale"] = tensors.pop(name)
    elif change == "dtype":
        tensors[name] = tensors[name].view(torch.int32)
    else:
        tensors[name] = tensors[name][None]
    save_file(tensors, folder / "model.safetensors")
    assert weights_sha256(folder) != before


def test_an_adapter_has_one_and_a_folder_without_weights_has_none(tmp_path):
    with pytest.raises(ValueError, match="holds no weights"):
        weights_sha256(tmp_path)
    save_file({"lora": torch.zeros(2)}, tmp_path / "adapter_model.safetensors")
    assert len(weights_sha256(tmp_path)) == 64
    (tmp_path / "adapter_model.safetensors").write_bytes(b"cut")
    with pytest.raises(ValueError, match=r"adapter_model\.safetensors cannot be read"):
        weights_sha256(tmp_path)
