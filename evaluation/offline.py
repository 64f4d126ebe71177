"""A checkpoint in Transformers, for what no server shows: a picture's tokens before any is dropped."""

from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import AutoProcessor, LlavaNextForConditionalGeneration

from evaluation.cost import CostModel
from gprune_vllm.families import family_of
from gprune_vllm.methods.registry import select_tokens
from gprune_vllm.plan import TokenPlan


@dataclass(frozen=True, slots=True)
class SeenPicture:
    """What the vision tower made of a picture.

    Attributes:
        features: `[crops, patches, hidden_size]`, float32, the base crop first.
        attention: `[crops, patches]`, what the class token attends to, or without one the mean of all patches.
        keys: `[crops, patches, head_size]`, mean over heads.
    """

    image: Image.Image
    features: Tensor
    attention: Tensor
    keys: Tensor

    def grid_features(self, plan: TokenPlan) -> Tensor:
        """Features of the grid's patches, row by row, `[rows * columns, hidden_size]`."""
        return _grid(self.features, plan)


class OfflineModel:
    """A LLaVA-NeXT checkpoint in float32."""

    def __init__(self, checkpoint: str) -> None:
        self.processor = AutoProcessor.from_pretrained(checkpoint)
        self.model = LlavaNextForConditionalGeneration.from_pretrained(
            checkpoint, dtype=torch.float32, attn_implementation="eager"
        ).eval()
        self.config = self.model.config

    def prompt(self, image: Image.Image, question: str) -> Any:
        """Inputs of the model for a question about a picture, as a chat has them."""
        content = [{"type": "image"}, {"type": "text", "text": question}]
        text = self.processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
        return self.processor(images=image, text=text, add_special_tokens=False, return_tensors="pt")

    def plan(self, image: Image.Image, ratio: float = 0.0) -> TokenPlan:
        """The visual tokens of a picture."""
        return CostModel(self.config).plan((image.height, image.width), ratio)

    @torch.inference_mode()
    def see(self, image: Image.Image) -> SeenPicture:
        """Run the vision tower on a picture, up to the layer that LLaVA-NeXT reads."""
        pixels = self.processor.image_processor(image, return_tensors="pt")["pixel_values"][0]
        tower, layer = self.model.model.vision_tower, self.config.vision_feature_layer
        keys: list[Tensor] = []
        attention = _layers(tower)[layer].self_attn
        hook = attention.k_proj.register_forward_hook(lambda module, arguments, output: keys.append(output))
        try:
            output = tower(pixels[: self.plan(image).units], output_hidden_states=True, output_attentions=True)
        finally:
            hook.remove()
        with_class = self.config.vision_feature_select_strategy == "default"
        patches = slice(1 if with_class else 0, None)
        received = output.attentions[layer].mean(dim=1)  # [crops, tokens, tokens]
        received = received[:, 0] if with_class else received.mean(dim=1)  # [crops, tokens]
        heads = keys[0].unflatten(-1, (attention.num_heads, -1))  # [crops, tokens, heads, head_size]
        return SeenPicture(
            image, output.hidden_states[layer][:, patches], received[:, patches], heads.mean(dim=2)[:, patches]
        )

    def kept(self, seen: SeenPicture, method: str, ratio: float) -> Tensor:
        """Mark the patches of a picture's grid that a method keeps, bool `[rows, columns]`."""
        plan = self.plan(seen.image, ratio)
        grid = plan.groups[-1]
        options: dict[str, Any] = {"attention": _grid(seen.attention, plan), "keys": _grid(seen.keys, plan)}
        options["shape"] = grid.rows, grid.columns
        mask = torch.zeros(grid.tokens, dtype=torch.bool)
        mask[select_tokens(_grid(seen.features, plan), grid.kept, method, **options).index] = True
        return mask.view(grid.rows, grid.columns)


def _grid(values: Tensor, plan: TokenPlan) -> Tensor:
    """Values of the grid's patches, of `values` `[crops, patches, ...]`."""
    return family_of("LlavaNextForConditionalGeneration").split(values, plan)[-1]


def _layers(tower: Any) -> Any:
    """The layers of a CLIP or SigLIP tower. Transformers 5 left out the level `vision_model`."""
    return getattr(tower, "vision_model", tower).encoder.layers
