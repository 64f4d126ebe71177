"""Default data type of the model, chosen by processor."""

from collections.abc import Mapping
from typing import Any

BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16")
"""torch's names of bfloat16 instruction sets: two of x86, one of Arm."""


def default_dtype() -> str:
    """Return the default of `--dtype`: `float32` on a CPU without bfloat16 instructions, otherwise `auto`.

    Such a CPU is several times slower in bfloat16 than in float32: see docs/operations.md.
    """
    import torch
    from vllm.platforms import current_platform

    slow = current_platform.is_cpu() and not has_bfloat16(torch.cpu.get_capabilities())
    return "float32" if slow else "auto"


def has_bfloat16(capabilities: Mapping[str, Any]) -> bool:
    """Return whether a processor has bfloat16 instructions.

    Args:
        capabilities: result of `torch.cpu.get_capabilities`. If it lists none of `BFLOAT16`, as on other
            architectures, the result is true and the choice is vLLM's.
    """
    listed = [capabilities[name] for name in BFLOAT16 if name in capabilities]
    return any(listed) or not listed
