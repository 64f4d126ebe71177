"""A second opinion: pruned visual tokens in plain Transformers, slow and simple.

Written from the papers and from what their released code does, and deliberately without anything from `gprune_vllm`,
so that a mistake there cannot hide behind the same mistake here. `tests.support.families` has what differs from family
to family. One request at a time, in float32 unless asked
otherwise.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from PIL import Image
from transformers import AutoProcessor, DynamicCache

from tests.support.oracle_methods import Method, Variant

Stage = Literal["vision", "projector"]
Positions = Literal["original", "contiguous"]
Amount = tuple[float, int | None]
"""A ratio, and a budget that takes its place."""


@dataclass(frozen=True, slots=True)
class PrunedImage:
    """What is left of one image."""

    kept: tuple[torch.Tensor, ...]  # int64 [k], kept indices into each group, row by row, structural tokens not counted
    embeddings: torch.Tensor  # float32 [n, d], ready for the language model, structural tokens among them
    offsets: torch.Tensor  # int64 [n], the place of each among the unpruned tokens of the image
    length: int  # tokens of the unpruned image


class Oracle(ABC):
    """Greedy generation with pruned images from one checkpoint.

    Args:
        checkpoint: the model's folder.
        dtype: of weights and arithmetic. Against float64, float32's answers tell what rounding costs.
    """

    model_class: ClassVar[Any]
    takes_videos: ClassVar[bool] = False
    rounded = False
    """Whether the engine must compute in bfloat16. Greedy answers then diverge: only `generate`'s `forced` compares."""

    def __init__(self, checkpoint: str | Path, dtype: torch.dtype = torch.float32) -> None:
        self.processor = AutoProcessor.from_pretrained(checkpoint)
        self.model = self.model_class.from_pretrained(checkpoint, dtype=dtype, attn_implementation="eager").eval()
        self.config = self.model.config

    def chat(self, *content: str | Image.Image | np.ndarray, system: str | None = None) -> str:
        """The prompt for one user message of texts, images and videos in the given order."""
        kinds = {str: "text", np.ndarray: "video"}
        parts = [{"type": kinds.get(type(part), "image"), "text": part} for part in content]
        messages: list[dict[str, Any]] = [] if system is None else [{"role": "system", "content": system}]
        messages.append({"role": "user", "content": parts})
        return str(self.processor.apply_chat_template(messages, add_generation_prompt=True))

    def read_layer(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Features, attention and keys of each crop's patches, [crops, n, ...], in the layer that LLaVA reads."""
        layer, seen = self.config.vision_feature_layer, []
        encoder = getattr(self.model.model.vision_tower, "vision_model", self.model.model.vision_tower).encoder
        attention = encoder.layers[layer].self_attn if layer < 0 else encoder.layers[layer - 1].self_attn
        # Hidden states begin with the embeddings, so that counted from the end they are the layers' own.
        handle = attention.k_proj.register_forward_hook(lambda module, inputs, output: seen.append(output))
        output = self.model.model.vision_tower(pixels, output_hidden_states=True, output_attentions=True)
        handle.remove()
        weights = output.attentions[layer if layer < 0 else layer - 1].mean(dim=1)  # [crops, queries, n (+ 1)]
        keys = seen[0].unflatten(-1, (attention.num_heads, -1)).mean(dim=2)  # [crops, n (+ 1), head_dim]
        features = output.hidden_states[layer]  # [crops, n (+ 1), d]
        if self.config.vision_feature_select_strategy == "default":
            return features[:, 1:], weights[:, 0, 1:, None], keys[:, 1:]
        return features, weights.mean(dim=1)[..., None], keys

    @torch.inference_mode()
    def prune(
        self,
        images: list[Image.Image],
        ratio: float,
        *,
        stage: Stage = "vision",
        variant: Variant = "released",
        method: Method = "gprune",
        budget: int | None = None,
    ) -> list[PrunedImage]:
        """What is left of each image, with the kept indices of its groups. A budget takes the place of the ratio."""
        if not images:
            return []
        return [
            self.prune_one(pixels, [image.height, image.width], (ratio, budget), stage, (method, variant))
            for pixels, image in zip(self.pixels(images), images, strict=True)
        ]

    def pixels(self, images: list[Image.Image]) -> Sequence[torch.Tensor]:
        """What the image processor makes of each image."""
        pixels: Sequence[torch.Tensor] = self.processor.image_processor(images, return_tensors="pt")["pixel_values"]
        return pixels

    @abstractmethod
    def prune_one(
        self, pixels: torch.Tensor, size: list[int], amount: Amount, stage: Stage, how: tuple[Method, Variant]
    ) -> PrunedImage:
        """One image, of the image processor's `pixels`. Its `size` is (height, width) before any resizing."""

    @torch.inference_mode()
    def generate(
        self,
        images: list[Image.Image],
        prompt: str,
        ratio: float,
        *,
        stage: Stage = "vision",
        positions: Positions = "original",
        variant: Variant = "released",
        method: Method = "gprune",
        budget: int | None = None,
        max_new_tokens: int = 16,
        videos: Sequence[np.ndarray] = (),
    ) -> list[tuple[int, float]]:
        """Greedy tokens with their log-probabilities. `prompt` has a place for each image and for each video."""
        prompt, pruned = self.arrange(prompt, images, videos, (ratio, budget), stage, (method, variant))
        embeddings, position_ids, position = self._prompt(prompt, pruned)
        if positions == "contiguous":
            position = len(position_ids)
            position_ids = torch.arange(position)
        cache = DynamicCache(config=self.config.text_config)
        answer: list[tuple[int, float]] = []
        while len(answer) < max_new_tokens:
            token, logprob = self._step(embeddings, position_ids, cache)
            answer.append((token, logprob))
            if token == self.config.text_config.eos_token_id:
                break
            embeddings, position_ids = self._embed([token]), torch.tensor([position])
            position += 1
        return answer

    def arrange(
        self,
        prompt: str,
        images: list[Image.Image],
        videos: Sequence[np.ndarray],
        amount: Amount,
        stage: Stage,
        how: tuple[Method, Variant],
    ) -> tuple[str, list[PrunedImage]]:
        """The prompt in which each image and each frame has a place of its own, and what is left of these, in order."""
        assert not videos
        (ratio, budget), (method, variant) = amount, how
        return prompt, self.prune(images, ratio, stage=stage, variant=variant, method=method, budget=budget)

    def _step(self, embeddings: torch.Tensor, position_ids: torch.Tensor, cache: DynamicCache) -> tuple[int, float]:
        """The likeliest token after these [n, d] at positions [n], which join the cache."""
        # An explicit mask: without one Transformers may take a gap in the positions for the start of a new sequence.
        mask = torch.ones(1, cache.get_seq_length() + len(embeddings), dtype=torch.long)
        output = self.decoder(
            inputs_embeds=embeddings[None],
            position_ids=position_ids[None],
            attention_mask=mask,
            past_key_values=cache,
            use_cache=True,
        )
        logits = self.model.get_output_embeddings()(output.last_hidden_state[0, -1])  # [vocabulary]
        logprob, token = logits.double().log_softmax(dim=-1).max(dim=-1)
        return int(token), float(logprob)

    def _embed(self, tokens: list[int]) -> torch.Tensor:
        """Text embeddings, float32 [n, d]."""
        embeddings: torch.Tensor = self.model.get_input_embeddings()(torch.tensor(tokens))
        return embeddings

    def _prompt(self, prompt: str, images: list[PrunedImage]) -> tuple[torch.Tensor, torch.Tensor, int]:
        """Embeddings [n, d] of text and images, original positions [n], and the position that comes next."""
        remaining = iter(images)
        embeddings, positions, position = [], [], 0
        for token in self.processor.tokenizer(prompt, add_special_tokens=False)["input_ids"]:
            if token == self.image_token:
                image = next(remaining)
                embeddings.append(image.embeddings)
                positions.append(position + image.offsets)
                position += image.length
            else:
                embeddings.append(self._embed([token]))
                positions.append(torch.tensor([position]))
                position += 1
        if next(remaining, None) is not None:
            raise ValueError("more images than <image> in the prompt")
        return torch.cat(embeddings), torch.cat(positions), position

    @property
    def decoder(self) -> Any:
        """The language model without its head."""
        return self.model.model.language_model

    @property
    def image_token(self) -> int:
        """The token that has an image's place in a prompt."""
        return int(self.config.image_token_id)
