"""Writing the trained model as a checkpoint that stock vLLM and Transformers load."""

from pathlib import Path

import torch
from transformers import LlavaNextForConditionalGeneration

from evaluation.demo.checkpoint import CheckpointOptions, Size, build_config, published_name, write_model
from evaluation.demo.tokenizer import build_tokenizer
from evaluation.scenes.questions import all_texts

DEMO = Size(tower_hidden=128, tower_intermediate=512, tower_layers=6, hidden=256, intermediate=512, layers=4, head=64)
OPTIONS = CheckpointOptions(size=DEMO, dtype="bfloat16")


def build_model() -> LlavaNextForConditionalGeneration:
    """The demo model with fresh weights, in float32. Eager attention trains fastest at this size on a CPU."""
    config = build_config(OPTIONS, build_tokenizer(all_texts()).get_vocab_size())
    for part in (config, config.text_config, config.vision_config):
        part._attn_implementation = "eager"
    return LlavaNextForConditionalGeneration(config).float()


def export(model: LlavaNextForConditionalGeneration, folder: Path) -> None:
    """Write the trained model into `folder`."""
    weights = {published_name(name): value.detach() for name, value in model.named_parameters()}
    write_model(folder, OPTIONS, build_tokenizer(all_texts()), weights)


def load_tower(model: LlavaNextForConditionalGeneration, checkpoint: Path) -> None:
    """Give the model the tower that the first stage trained."""
    state = torch.load(checkpoint, weights_only=True, map_location="cpu")["model"]
    tower = {name.removeprefix("tower."): value for name, value in state.items() if name.startswith("tower.")}
    model.model.vision_tower.load_state_dict(tower)
