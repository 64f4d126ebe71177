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


def test_a_cpu_runs_the_loops() -> None:
    assert not kernels.runs_on(torch.device("cpu"))
