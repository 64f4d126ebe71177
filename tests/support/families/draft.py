"""A draft model that reads images, for a checkpoint under test."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import MistralConfig, MistralForCausalLM

SHARED = ("hidden_size", "num_attention_heads", "num_key_value_heads", "vocab_size", "intermediate_size", "head_dim")
"""What a draft has in common with the model it drafts for."""


def write_draft(model: Path, folder: Path) -> Path:
    """Write an EAGLE head with random float32 weights for a model into a folder, and return the folder.

    It is vLLM's `EagleMistralForCausalLM`, the one EAGLE head for dense models that is given embeddings of images.
    """
    text = json.loads((model / "config.json").read_text())["text_config"]
    shared = {name: text[name] for name in SHARED if name in text}
    config = MistralConfig(architectures=["MistralForCausalLM"], dtype="float32", num_hidden_layers=1, **shared)
    config.save_pretrained(folder)
    whole = MistralForCausalLM(config).state_dict()
    weights = {name: each.clone() for name, each in whole.items() if name.startswith(("model.layers", "model.norm"))}
    size = config.hidden_size
    weights["model.fc.weight"] = 0.1 * torch.randn(size, 2 * size, generator=torch.Generator().manual_seed(0))
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder
