"""LLaVA-NeXT in Transformers, with random weights and our pruning between its tower and its projector."""

from typing import Any

import torch
from torch import Tensor
from transformers import AutoModel
from transformers.models.llava_next.modeling_llava_next import LlavaNextMultiModalProjector

from gprune_vllm.plan import TokenPlan
from gprune_vllm.pruning import KeptPatches, insert_newlines, keep_patches
from loadtest.benchmarks.features import HEAD_SIZE
from loadtest.benchmarks.shapes import Shape, config_of

DTYPE = torch.bfloat16


class Model:
    """The parts of a model, each to be run by itself.

    Args:
        shape: its widths.
        layers: of its language model.
        device: where it runs.
    """

    def __init__(self, shape: Shape, layers: int, device: str) -> None:
        config = config_of(shape, layers)
        config.vision_config.num_hidden_layers = shape.tower.layers_run
        self.shape, self.device = shape, device
        with torch.device(device):
            self._tower: Any = AutoModel.from_config(config.vision_config, dtype=DTYPE, attn_implementation="sdpa")
            self._projector: Any = LlavaNextMultiModalProjector(config).to(DTYPE)
            self._decoder: Any = AutoModel.from_config(config.text_config, dtype=DTYPE, attn_implementation="sdpa")
            self._newline = torch.randn(shape.decoder.hidden_size, dtype=DTYPE)
        for part in (self._tower, self._projector, self._decoder):
            part.eval()

    def pixels(self, plan: TokenPlan) -> Tensor:
        """A picture's crops, `[crops, 3, crop_size, crop_size]`."""
        side = self.shape.crop_size
        return torch.randn(plan.crops, 3, side, side, device=self.device, dtype=DTYPE)

    def tower(self, pixels: Tensor) -> Tensor:
        """Features of the layer that LLaVA-NeXT reads, `[crops, patches, hidden_size]`."""
        features: Tensor = self._tower(pixel_values=pixels).last_hidden_state[:, 1:]
        return features

    def seen(self, features: Tensor) -> dict[str, Tensor]:
        """Attention and keys, of no meaning, for methods that ask."""
        return {"attention": features.float().sum(dim=-1).sigmoid(), "keys": features[..., :HEAD_SIZE].float()}

    def select(self, features: Tensor, plan: TokenPlan, method: str = "gprune") -> KeptPatches:
        """The patch tokens that stay."""
        return keep_patches(features, plan, method, self.seen(features) if method != "gprune" else None)

    def project(self, patches: KeptPatches, plan: TokenPlan) -> Tensor:
        """Embeddings as the language model reads them, newlines included, `[1, kept, hidden_size]`."""
        projected = KeptPatches(self._projector(patches.features), patches.positions)
        return insert_newlines(projected, self._newline, plan)[0].unsqueeze(0)

    def text(self, length: int) -> Tensor:
        """Embeddings of some text, `[1, length, hidden_size]`."""
        return torch.randn(1, length, self.shape.decoder.hidden_size, device=self.device, dtype=DTYPE)

    def decode(self, embeddings: Tensor) -> Tensor:
        """The language model's last hidden state, `[1, length, hidden_size]`."""
        states: Tensor = self._decoder(inputs_embeds=embeddings, use_cache=False).last_hidden_state
        return states
