"""LLaVA-NeXT in its published shapes, without weights and without a network: engines fill them in at random."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import LlavaNextConfig, LlavaNextProcessor

from evaluation.demo.checkpoint import PATCH, write_checkpoint
from gprune_vllm.families.anyres import plan_tokens
from gprune_vllm.plan import PruneSpec, TokenPlan

PINPOINTS = ((1, 2), (2, 1), (2, 2), (3, 1), (1, 3))
"""Rows and columns of crops that published models may cut an image into."""
VISION = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "image_size")
TEXT = ("vocab_size", *VISION[:4], "num_key_value_heads", "head_dim")


@dataclass(frozen=True, slots=True)
class Shape:
    """One model's own values in an HF configuration, and the picture it is asked about.

    Attributes:
        picture: width and height in pixels.
    """

    vision: Mapping[str, int]
    text: Mapping[str, int]
    picture: tuple[int, int] = (640, 480)

    @property
    def crop(self) -> int:
        """Side of a crop in pixels."""
        return self.vision["image_size"]

    @property
    def pinpoints(self) -> list[tuple[int, int]]:
        """Heights and widths in pixels that an image may be cut into."""
        return [(rows * self.crop, columns * self.crop) for rows, columns in PINPOINTS]

    def plan(self, ratio: float) -> TokenPlan:
        """Count the visual tokens of the picture."""
        return plan_tokens(self.picture[::-1], self.pinpoints, self.crop, PATCH, PruneSpec(ratio))


def _shape(vision: Sequence[int], text: Sequence[int], picture: tuple[int, int] = (640, 480)) -> Shape:
    return Shape(dict(zip(VISION, vision, strict=True)), dict(zip(TEXT, text, strict=True)), picture)


CLIP = (1024, 4096, 24, 16, 336)
"""CLIP ViT-L/14 at 336 pixels."""
SHAPES = {
    "8b": _shape(CLIP, (128256, 4096, 14336, 32, 32, 8, 128)),  # LLaVA-NeXT-8B: Llama 3
    "7b": _shape(CLIP, (32064, 4096, 11008, 32, 32, 32, 128)),  # LLaVA-NeXT-7B: Vicuna, with a key for each query
    # For tests: as small as vLLM's kernels for the CPU allow.
    "tiny": _shape((64, 128, 3, 2, 112), (512, 128, 256, 2, 4, 2, 32), (213, 160)),
}


def write_model(folder: Path, shape: Shape, layers: int) -> Path:
    """Write configuration, tokenizer and processor of a model whose language model is `layers` deep.

    They are the tiny checkpoint's with other numbers; its weights fit no more.
    """
    write_checkpoint(folder, dtype="bfloat16", grid_pinpoints=shape.pinpoints)
    (folder / "model.safetensors").unlink()
    resized(LlavaNextConfig.from_pretrained(folder), shape, layers).save_pretrained(folder)
    processor: Any = LlavaNextProcessor.from_pretrained(folder)
    processor.image_processor.size = {"shortest_edge": shape.crop}
    processor.image_processor.crop_size = {"height": shape.crop, "width": shape.crop}
    processor.save_pretrained(folder)
    return folder


def resized(config: Any, shape: Shape, layers: int) -> LlavaNextConfig:
    """Give the tiny checkpoint's configuration another shape."""
    content = config.to_dict()
    content["image_seq_length"] = (shape.crop // PATCH) ** 2
    content["text_config"] |= {**shape.text, "num_hidden_layers": layers}
    content["vision_config"] |= shape.vision
    return LlavaNextConfig.from_dict(content)
