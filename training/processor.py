"""Features of this machine's processor."""

import platform

import torch

__all__ = ["has_fast_bfloat16", "multiplies_bfloat16"]

X86 = ("x86_64", "AMD64", "amd64", "i386", "i686")


def multiplies_bfloat16() -> bool:
    """Return whether the processor multiplies bfloat16 natively, at least as fast as float32.

    On x86 this requires AVX-512 BF16 or AMX, and that torch uses them (ATEN_CPU_CAPABILITY may disable them). Other
    processors are assumed to.
    """
    if platform.machine() not in X86:
        return True
    if torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "AVX2"):
        return False
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def has_fast_bfloat16(device: torch.device) -> bool:
    """Return whether a device is known to compute faster in bfloat16 than in float32.

    Of processors, this is known of those of x86 with instructions for it.
    """
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and platform.machine() in X86 and multiplies_bfloat16()
