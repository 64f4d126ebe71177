"""vLLM's second model runner, the default on GPUs, passes the tests of the first one."""

import sys

from tests.support.tools import ROOT, run

FILES = [f"tests/engine/gprune_vllm/{name}.py" for name in ("test_families", "test_lora", "test_drafts")]
CHOSEN = (
    "(llava_next or qwen3_vl and not moe and not answers) and not methods and not budgets and not settings"
    " or drafts_of_a_model"
)
"""Triton's interpreter runs the kernels, slowly: one family of one position a token, one of three, and one method show
what depends on the runner."""


def test_the_tests_of_families_and_of_adapters_pass() -> None:
    """Run them in a process of their own: the runner and Triton's interpreter are chosen on import."""
    plugins = ("-p", "tests.support.second_runner", "-p", "no:cacheprovider")
    done = run(sys.executable, "-m", "pytest", "-q", *plugins, *FILES, "-k", CHOSEN, cwd=ROOT, timeout=1200)
    assert done.returncode == 0, done.stdout
