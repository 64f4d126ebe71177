"""The data type that suits the processor."""

import platform
from pathlib import Path
from typing import Any

import pytest
import torch
from vllm.platforms import current_platform

from gprune_server.dtype import default_dtype, has_bfloat16

AVX2 = {"avx2": True, "avx512_f": False, "avx512_bf16": False, "amx_bf16": False}


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        (AVX2, False),
        (AVX2 | {"avx512_f": True}, False),
        (AVX2 | {"avx512_f": True, "avx512_bf16": True}, True),
        (AVX2 | {"avx512_f": True, "amx_bf16": True}, True),
        ({"neon": True, "bf16": False}, False),
        ({"neon": True, "bf16": True}, True),
        ({"architecture": "ppc64le"}, True),
    ],
)
def test_instructions_of_x86_and_arm_are_known(capabilities: dict[str, Any], expected: bool) -> None:
    assert has_bfloat16(capabilities) is expected


@pytest.mark.skipif(platform.machine() not in ("x86_64", "aarch64"), reason="other names in /proc/cpuinfo")
def test_torch_sees_what_the_kernel_sees() -> None:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    flags = {flag for line in lines if line.startswith(("flags", "Features")) for flag in line.split()}
    assert has_bfloat16(torch.cpu.get_capabilities()) == bool(flags & {"avx512_bf16", "amx_bf16", "bf16"})


@pytest.mark.parametrize(
    ("cpu", "bfloat16", "expected"),
    [(True, False, "float32"), (True, True, "auto"), (False, False, "auto"), (False, True, "auto")],
)
def test_only_a_cpu_without_bfloat16_gets_float32(
    cpu: bool, bfloat16: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(current_platform), "is_cpu", lambda self: cpu)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: AVX2 | {"avx512_bf16": bfloat16})
    assert default_dtype() == expected
