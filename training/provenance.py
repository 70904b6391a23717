"""Where and with what a model was trained, told without naming anybody's machine."""

import os
import platform
import shlex
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import PurePath

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


def portable_command(arguments: Sequence[str]) -> str:
    """Write a command line down without the folders of this machine: absolute paths keep only their last part."""
    parts = [PurePath(part).name if PurePath(part).is_absolute() else part for part in arguments]
    return shlex.join(parts)
