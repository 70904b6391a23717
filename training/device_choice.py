"""Translate the name of a device into a setting of `TrainingArguments`, which select the accelerator themselves."""

import torch

from seqrec.errors import InputError
from seqrec.modeling.devices import resolve_device

__all__ = ["device_settings"]


def device_settings(device: str | torch.device, use_cpu: bool | None = None) -> dict[str, bool]:
    """Return the settings of `TrainingArguments` that make it train on a device; none if it would anyway.

    Args:
        device: `"auto"` for the accelerator if there is one, or a device's name.
        use_cpu: The setting `use_cpu` if it was given too.

    Raises:
        InputError: If the device does not exist, `use_cpu` contradicts it, or training cannot be restricted to it.
    """
    if isinstance(device, str) and device == "auto":
        return {}
    found = resolve_device(device)
    if use_cpu is not None and use_cpu != (found.type == "cpu"):
        raise InputError(f"use_cpu={use_cpu} contradicts device='{found}'. Leave out use_cpu.")
    if found.type == "cpu":
        return {"use_cpu": True}
    accelerator = torch.accelerator.current_accelerator()
    if accelerator is None or accelerator.type != found.type:
        raise InputError(
            f"Training runs on {accelerator or 'cpu'} or cpu here, not on device='{found}'. Choose one of these."
        )
    if found.index is not None and torch.accelerator.device_count() > 1:
        raise InputError(
            f"Training uses every visible {found.type} device, not device='{found}' alone. Hide the others "
            f"(CUDA_VISIBLE_DEVICES={found.index}), and pass device='{found.type}'."
        )
    return {}
