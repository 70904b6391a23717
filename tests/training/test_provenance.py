"""The recorded facts about the machine, and the estimated energy."""

from types import SimpleNamespace

import pytest
import torch

from seqrec.training import provenance
from seqrec.training.provenance import estimated_energy, hardware


def arguments(device, processes=1):
    return SimpleNamespace(device=torch.device(device), world_size=processes)


@pytest.fixture
def four_cores(monkeypatch):
    monkeypatch.setattr(provenance, "cpu_cores", lambda: 4)


@pytest.fixture
def gpu(monkeypatch):
    """Name the GPU that there seems to be."""
    return lambda name: monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)


def test_cores_draw_power_all_the_time(four_cores):
    found = estimated_energy(arguments("cpu"), seconds=7200)
    assert found["kwh"] == pytest.approx(4 * 0.012 * 2)
    assert found["assumption"].startswith("4 CPU cores at 12 W each for the whole wall time")
    assert hardware(arguments("cpu")).startswith("1 process on 4 CPU cores (")


def test_a_single_core_is_not_plural(monkeypatch):
    monkeypatch.setattr(provenance, "cpu_cores", lambda: 1)
    assert estimated_energy(arguments("cpu"), 60)["assumption"].startswith("1 CPU core at 12 W for")
    assert "1 CPU core (" in hardware(arguments("cpu"))


def test_a_gpu_is_known_by_its_name(gpu):
    gpu("NVIDIA H100 80GB HBM3")
    found = estimated_energy(arguments("cuda:0", processes=2), seconds=3600)
    assert found["kwh"] == pytest.approx(1.4)
    assert found["assumption"].startswith("2 × NVIDIA H100 80GB HBM3 at 700 W each")


def test_unknown_power_is_left_out(gpu, four_cores):
    gpu("Somebody's GPU")
    assert estimated_energy(arguments("cuda:0"), 60) is None
    assert estimated_energy(arguments("mps"), 60) is None
    assert estimated_energy(arguments("cpu", processes=2), 60) is None
