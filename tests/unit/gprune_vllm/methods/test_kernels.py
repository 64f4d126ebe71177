"""Where the kernels run, and that they choose what the loops in torch choose."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gprune_vllm.methods import kernels

CASES = Path(__file__).with_name("interpreted_kernels.py")


def test_kernels_choose_what_the_loops_choose() -> None:
    """In a process of its own, since Triton decides when it is imported whether it interprets kernels."""
    pytest.importorskip("triton")
    command = [sys.executable, "-m", "pytest", "--noconftest", "-q", str(CASES)]
    done = subprocess.run(command, env=os.environ | {"TRITON_INTERPRET": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


COMMON = {"order": "*i64", "num_tokens": "i32", "keep": "i32", "BLOCK": "constexpr"}
KERNELS = {
    "_suppress": {
        "scores": "*fp32",
        "early": "*fp32",
        "late": "*fp32",
        "columns": "i32",
        "radius": "i32",
        "first": "i32",
    }
    | COMMON,
    "_spread": {"distance": "*fp32", "first": "*i64"} | COMMON,
}


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize(
    ("gpu", "code"), [(("cuda", 80, 32), "cubin"), (("cuda", 90, 32), "cubin"), (("hip", "gfx942", 64), "hsaco")]
)
def test_kernels_compile_for_gpus(name: str, gpu: tuple[str, int | str, int], code: str) -> None:
    """What the interpreter does not check: types, and that each backend takes the code. It needs no GPU."""
    triton = pytest.importorskip("triton")
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    source = ASTSource(getattr(kernels, name), KERNELS[name], constexprs={"BLOCK": 4096})
    assert triton.compile(source, target=GPUTarget(*gpu), options={"num_warps": 8}).asm[code]


def test_a_cpu_runs_the_loops() -> None:
    assert not kernels.runs_on(torch.device("cpu"))
