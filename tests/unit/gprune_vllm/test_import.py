"""What importing the package costs and offers."""

import importlib
import subprocess
import sys

import pytest

import gprune_vllm


def loaded_by(statement: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after the statement."""
    code = f"import sys; {statement}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(result.stdout.split())


@pytest.mark.parametrize("module", ["gprune_vllm", "gprune_vllm.plan", "gprune_vllm.plugin"])
def test_importing_loads_nothing_heavy(module: str) -> None:
    assert loaded_by(f"import {module}").isdisjoint({"torch", "vllm", "transformers", "numpy", "pydantic"})


def test_the_algorithm_needs_no_vllm() -> None:
    loaded = loaded_by("import gprune_vllm.methods")
    assert "torch" in loaded
    assert loaded.isdisjoint({"vllm", "transformers"})


def test_every_public_name_resolves_to_its_home() -> None:
    for name in gprune_vllm.__all__:
        value = getattr(gprune_vllm, name)
        assert getattr(importlib.import_module(value.__module__), name) is value


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'gprune_vllm' has no attribute 'prune_everything'"):
        _ = gprune_vllm.prune_everything
