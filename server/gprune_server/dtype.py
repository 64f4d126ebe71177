"""The data type that suits the processor."""

from collections.abc import Mapping
from typing import Any

BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16")
"""torch's names for the instructions: two of x86, one of ARM."""


def default_dtype() -> str:
    """Choose `--dtype` where nobody names it: `float32` on a CPU without bfloat16 instructions, elsewhere `auto`.

    Without them a CPU is several times slower in bfloat16 than in float32: docs/operations.md.
    """
    import torch
    from vllm.platforms import current_platform

    slow = current_platform.is_cpu() and not has_bfloat16(torch.cpu.get_capabilities())
    return "float32" if slow else "auto"


def has_bfloat16(capabilities: Mapping[str, Any]) -> bool:
    """Whether a processor computes in bfloat16.

    Args:
        capabilities: what `torch.cpu.get_capabilities` says. Architectures for which it lists no such instruction are
            left to vLLM, and so count as having them.
    """
    listed = [capabilities[name] for name in BFLOAT16 if name in capabilities]
    return any(listed) or not listed
