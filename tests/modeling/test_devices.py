"""Devices: the best available one, the one requested, or a one-line error."""

import pytest
import torch

from seqrec.modeling.devices import resolve_device


@pytest.fixture
def machine(monkeypatch):
    """Pretend to be a machine with these devices."""

    def pretend(num_cuda=0, mps=False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: num_cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: num_cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return pretend


@pytest.mark.parametrize(
    ("devices", "expected"),
    [({}, "cpu"), ({"mps": True}, "mps"), ({"num_cuda": 2}, "cuda"), ({"num_cuda": 1, "mps": True}, "cuda")],
)
def test_auto_takes_cuda_then_mps_then_the_cpu(machine, devices, expected):
    machine(**devices)
    assert resolve_device() == resolve_device("auto") == torch.device(expected)


@pytest.mark.parametrize("device", ["cpu", "cpu:0", torch.device("cpu")])
def test_a_device_that_is_there_is_taken(device):
    assert resolve_device(device) == torch.device(device)


@pytest.mark.parametrize("device", ["gpu", "cuda:x", "CPU", "", "Auto", None, True, 1.5, -1, ["cpu"], b"cpu"])
def test_a_misspelt_device_is_a_sentence(device):
    with pytest.raises(ValueError, match=r"^device=.* is not the name of a device\. Give 'auto', or .*'cpu'"):
        resolve_device(device)


@pytest.mark.parametrize("device", ["cuda:97", torch.device("cuda:97"), "xpu:97", "meta"])
def test_a_device_that_is_not_there_is_a_sentence(device):
    with pytest.raises(ValueError, match=r"^The device '.*' cannot be used on this machine\. Give 'auto', or .*'cpu'"):
        resolve_device(device)
