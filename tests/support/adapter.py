"""LoRA adapters for tests, as PEFT saves them."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

RANK, ALPHA = 4, 8
SCALE = 0.1

Factors = tuple[torch.Tensor, torch.Tensor]
"""What an adapter adds to a weight, over `ALPHA / RANK`, as factors: [RANK, inputs] and [outputs, RANK]."""


def random_factors(outputs: int, inputs: int, generator: torch.Generator) -> Factors:
    """Random factors for a weight of this shape."""
    down = torch.randn(RANK, inputs, generator=generator) * SCALE
    return down, torch.randn(outputs, RANK, generator=generator) * SCALE


def write_adapter(folder: Path, factors: Mapping[str, Factors]) -> Path:
    """Write an adapter of the modules that `factors` names, and return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    targets = sorted({name.rpartition(".")[2] for name in factors})
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": ALPHA, "target_modules": targets, "bias": "none"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    weights = {
        f"base_model.model.{module}.lora_{letter}.weight": factor
        for module, pair in factors.items()
        for letter, factor in zip("AB", pair, strict=True)
    }
    save_file(weights, folder / "adapter_model.safetensors")
    return folder


def adapt(checkpoint: Path, module: str, folder: Path) -> Path:
    """Write a random adapter of one module of a checkpoint, and return its folder."""
    with safe_open(checkpoint / "model.safetensors", "pt") as weights:
        outputs, inputs = weights.get_slice(f"{module}.weight").get_shape()
    return write_adapter(folder, {module: random_factors(outputs, inputs, torch.Generator().manual_seed(0))})
