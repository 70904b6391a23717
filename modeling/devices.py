"""Choose the device that a model runs on, and refuse devices that do not exist."""

import torch

from seqrec.errors import InputError

__all__ = ["resolve_device"]


def resolve_device(device: str | int | torch.device = "auto") -> torch.device:
    """Return a device of this machine by its name.

    Args:
        device: `"auto"` for an NVIDIA (or AMD) GPU if available, else an Apple GPU, else the CPU; or torch's name of a
            device: `"cpu"`, `"cuda"`, `"cuda:1"`, `"mps"`, …, or a GPU's number.

    Raises:
        InputError: If it is not a device's name, or this machine has no such device.
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
    """Return the first of CUDA, MPS and CPU that this machine has."""
    return torch.device(available_devices()[-1].partition(":")[0])


def available_devices() -> list[str]:
    """List the devices of this machine that `"auto"` chooses from, the CPU first and the best kind last."""
    apple = ["mps"] if torch.backends.mps.is_available() else []
    nvidia = [f"cuda:{index}" for index in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    return ["cpu", *apple, *nvidia]


def is_usable(device: torch.device) -> bool:
    """Return whether a device works, by trying it: torch raises different exceptions for missing ones."""
    try:
        torch.empty(1, device=device)
    except Exception:
        return False
    return True
