"""Hardware, energy and package versions of a training, without naming the machine."""

import os
import platform
from importlib.metadata import version
from typing import Any

import torch
from transformers import TrainingArguments

__all__ = ["estimated_energy", "hardware", "versions"]

PACKAGES = ("seqrec", "transformers", "torch", "datasets", "accelerate", "tokenizers", "polars")


# Maximum power of a GPU in watts, by its driver's name for it, from NVIDIA's data sheets.
GPU_WATTS = {
    "NVIDIA A100 80GB PCIe": 300,
    "NVIDIA A100-PCIE-40GB": 250,
    "NVIDIA A100-SXM4-40GB": 400,
    "NVIDIA A100-SXM4-80GB": 400,
    "NVIDIA GeForce RTX 3090": 350,
    "NVIDIA GeForce RTX 4090": 450,
    "NVIDIA H100 80GB HBM3": 700,
    "NVIDIA H100 PCIe": 350,
    "NVIDIA H200": 700,
    "NVIDIA L4": 72,
    "NVIDIA L40S": 350,
    "Tesla T4": 70,
}
CPU_CORE_WATTS = 12  # a round figure: server processors are rated at 4 to 16 W a core


def hardware(arguments: TrainingArguments) -> str:
    """Describe the hardware of a training, such as "1 process on 2 CPU cores (x86_64)"."""
    processes = f"{arguments.world_size} process{'es' if arguments.world_size > 1 else ''}"
    if arguments.device.type == "cuda":
        return f"{processes} on {torch.cuda.get_device_name(arguments.device)}"
    return f"{processes} on {cores(cpu_cores())} ({platform.machine()})"


def estimated_energy(arguments: TrainingArguments, seconds: float) -> dict[str, Any] | None:
    """Estimate the energy used by the device: its rated power times the wall time.

    Returns:
        `{"kwh": …, "assumption": …}`, the latter in words. None if the device's power is unknown, such as that of a
        GPU not in `GPU_WATTS`, or if several processes may share CPU cores.
    """
    if arguments.device.type == "cuda":
        name = torch.cuda.get_device_name(arguments.device)
        device, watts, number = f"{arguments.world_size} × {name}", GPU_WATTS.get(name), arguments.world_size
    else:
        number, watts = cpu_cores(), CPU_CORE_WATTS
        device = cores(number)
        if arguments.device.type != "cpu" or arguments.world_size > 1:
            return None
    if watts is None:
        return None
    return {
        "kwh": number * watts * seconds / 3.6e6,
        "assumption": f"{device} at {watts} W{' each' if number > 1 else ''} for the whole wall time, without the rest "
        "of the machine and its cooling",
    }


def cpu_cores() -> int:
    """Count the CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cores(number: int) -> str:
    """Format a number of CPU cores."""
    return f"{number} CPU core{'s' if number > 1 else ''}"


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that affect results."""
    return {"python": platform.python_version(), **{package: version(package) for package in PACKAGES}}
