"""Where and with what a model was trained, told without naming anybody's machine."""

import os
import platform
from importlib.metadata import version

import torch
from transformers import TrainingArguments

PACKAGES = ("seqrec", "transformers", "torch", "datasets", "accelerate", "tokenizers", "polars")


def hardware(arguments: TrainingArguments) -> str:
    """Say on what the training ran, as "1 process on 2 CPU cores (x86_64)"."""
    processes = f"{arguments.world_size} process{'es' if arguments.world_size > 1 else ''}"
    if arguments.device.type == "cuda":
        return f"{processes} on {torch.cuda.get_device_name(arguments.device)}"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{processes} on {cores} CPU cores ({platform.machine()})"


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide a result."""
    return {"python": platform.python_version(), **{package: version(package) for package in PACKAGES}}
