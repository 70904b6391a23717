"""Choose the device that a model runs on, and say so where there is no such device."""

import torch

from seqrec.errors import InputError


def resolve_device(device: str | int | torch.device = "auto") -> torch.device:
    """Turn a device's name into a device that can be used here.

    Args:
        device: `"auto"` for a GPU of NVIDIA (or AMD) or of Apple if there is one, else the CPU; or a device as torch
            names it: `"cpu"`, `"cuda"`, `"cuda:1"`, `"mps"`, …, or a GPU's number.

    Raises:
        ValueError: If there is no device of that name, or not on this machine.
    """
    if isinstance(device, str) and device == "auto":
        return best_device()
    advice = f"Give 'auto', or a device of this machine: {', '.join(map(repr, available_devices()))}."
    try:
        if isinstance(device, bool) or not isinstance(device, str | int | torch.device):
            raise TypeError
        found = torch.device(device)
    except (RuntimeError, TypeError):
        raise InputError(f"device={device!r} is not the name of a device. {advice}") from None
    if found.type == "meta" or not is_usable(found):
        raise InputError(f"The device '{found}' cannot be used on this machine. {advice}")
    return found


def best_device() -> torch.device:
    """Return the first of CUDA, MPS and the CPU that this machine has."""
    return torch.device(available_devices()[-1].partition(":")[0])


def available_devices() -> list[str]:
    """Name this machine's devices of the kinds that `"auto"` chooses from, the CPU first, the best kind last."""
    apple = ["mps"] if torch.backends.mps.is_available() else []
    nvidia = [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    return ["cpu", *apple, *nvidia]


def is_usable(device: torch.device) -> bool:
    """Try a device out; torch has a different exception for each way in which one may be missing."""
    try:
        torch.empty(1, device=device)
    except Exception:
        return False
    return True
