"""What this machine's processor can do."""

import platform

import torch

X86 = ("x86_64", "AMD64", "amd64", "i386", "i686")


def multiplies_bfloat16() -> bool:
    """Tell whether the processor multiplies bfloat16 numbers itself, at least as fast as float32.

    On x86 that takes AVX-512 with BF16 or AMX, and a torch that uses them (ATEN_CPU_CAPABILITY may forbid it). Other
    processors are trusted.
    """
    if platform.machine() not in X86:
        return True
    if torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "AVX2"):
        return False
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
