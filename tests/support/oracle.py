"""A second opinion: pruned visual tokens of LLaVA-NeXT in plain Transformers, slow and simple.

Written from the papers and from what their released code does, and deliberately without anything from `gprune_vllm`,
so that a mistake there cannot hide behind the same mistake here. One request at a time, in float32 unless asked
otherwise.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from PIL import Image
from transformers import AutoProcessor, DynamicCache, LlavaNextForConditionalGeneration
from transformers.models.llava_next.modeling_llava_next import (
    get_anyres_image_grid_shape,
    image_size_to_num_patches,
    unpad_image,
)

from tests.support.oracle_methods import Group, Method, Variant, keep, shares

Stage = Literal["vision", "projector"]
Positions = Literal["original", "contiguous"]


@dataclass(frozen=True, slots=True)
class PrunedImage:
    """What is left of one image."""

    base: torch.Tensor  # int64 [k], kept indices into the base crop
    grid: torch.Tensor  # int64 [m], kept indices into the unpadded grid, row by row, newlines not counted
    embeddings: torch.Tensor  # float32 [k + m + h, d], ready for the language model
    offsets: torch.Tensor  # int64 [k + m + h], the place of each among the unpruned tokens of the image
    length: int  # tokens of the unpruned image


class Oracle:
    """Greedy generation with pruned images from one LLaVA-NeXT checkpoint.

    Args:
        checkpoint: the model's folder.
        dtype: of weights and arithmetic. Against float64, float32's answers tell what rounding costs.
    """

    def __init__(self, checkpoint: str | Path, dtype: torch.dtype = torch.float32) -> None:
        self.processor = AutoProcessor.from_pretrained(checkpoint)
        self.model = LlavaNextForConditionalGeneration.from_pretrained(
            checkpoint, dtype=dtype, attn_implementation="eager"
        ).eval()
        self.config = self.model.config

    def chat(self, *content: str | Image.Image, system: str | None = None) -> str:
        """The prompt for one user message of texts and images in the given order."""
        parts = [{"type": "text", "text": part} if isinstance(part, str) else {"type": "image"} for part in content]
        messages: list[dict[str, Any]] = [] if system is None else [{"role": "system", "content": system}]
        messages.append({"role": "user", "content": parts})
        return str(self.processor.apply_chat_template(messages, add_generation_prompt=True))

    @torch.inference_mode()
    def tower_features(self, pixels: torch.Tensor, size: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Tower features of the base crop, [n, d], and of the unpadded grid, [h, w, d], for one image.

        `pixels` is [crops or more, 3, side, side], `size` (height, width) before any resizing.
        """
        (base, _, _), (grid, _, _) = self._tower(pixels, size)
        return base, grid

    def _tower(self, pixels: torch.Tensor, size: list[int]) -> list[tuple[torch.Tensor, ...]]:
        """Features, attention and keys, [n, ...] of the base crop and [h, w, ...] of the unpadded grid."""
        config, side = self.config, self.config.vision_config.image_size
        crops = image_size_to_num_patches(size, config.image_grid_pinpoints, side)
        down, across = get_anyres_image_grid_shape(size, config.image_grid_pinpoints, side)
        cells = side // config.vision_config.patch_size
        parts = []
        for values in self._read_layer(pixels[:crops]):
            grid = values[1:].view(down, across, cells, cells, -1)
            grid = grid.permute(4, 0, 2, 1, 3).flatten(1, 2).flatten(2, 3)  # [d, down * cells, across * cells]
            parts.append((values[0], unpad_image(grid, size).permute(1, 2, 0)))
        base, grids = zip(*parts, strict=True)
        return [base, grids]

    def _read_layer(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
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
        """What is left of each image, with the kept indices of both groups. A budget takes the place of the ratio."""
        if not images:
            return []
        inputs = self.processor.image_processor(images, return_tensors="pt")
        return [
            self._prune_one(pixels, size.tolist(), (ratio, budget), stage, (method, variant))
            for pixels, size in zip(inputs["pixel_values"], inputs["image_sizes"], strict=True)
        ]

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
    ) -> list[tuple[int, float]]:
        """Greedy tokens with their log-probabilities. `prompt` has ``<image>`` once for each image."""
        pruned = self.prune(images, ratio, stage=stage, variant=variant, method=method, budget=budget)
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

    def _step(self, embeddings: torch.Tensor, position_ids: torch.Tensor, cache: DynamicCache) -> tuple[int, float]:
        """The likeliest token after these [n, d] at positions [n], which join the cache."""
        # An explicit mask: without one Transformers may take a gap in the positions for the start of a new sequence.
        mask = torch.ones(1, cache.get_seq_length() + len(embeddings), dtype=torch.long)
        output = self.model.model.language_model(
            inputs_embeds=embeddings[None],
            position_ids=position_ids[None],
            attention_mask=mask,
            past_key_values=cache,
            use_cache=True,
        )
        logits = self.model.lm_head(output.last_hidden_state[0, -1])  # [vocabulary]
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
            if token == self.config.image_token_id:
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

    def _prune_one(
        self,
        pixels: torch.Tensor,
        size: list[int],
        amount: tuple[float, int | None],
        stage: Stage,
        how: tuple[Method, Variant],
    ) -> PrunedImage:
        """One image; `pixels` and `size` as for `tower_features`."""
        project = self.model.model.multi_modal_projector
        tower_base, tower_grid = self._tower(pixels, size)
        height, width = tower_grid[0].shape[:2]
        groups, kept = [tower_base, [values.flatten(0, 1) for values in tower_grid]], []  # [n, ...] each
        for (features, attention, keys), count in zip(
            groups, shares(len(groups[0][0]), height * width, *amount), strict=True
        ):
            if stage == "projector":
                kept.append(keep(Group(project(features), attention[:, 0], keys), count, *how))
            else:
                index, features = keep(Group(features, attention[:, 0], keys), count, *how)
                kept.append((index, project(features)))
        (kept_base, base), (kept_cells, cells) = kept
        newline = self.model.model.image_newline
        embeddings = torch.cat((base, cells, newline.expand(height, -1)))
        rows = torch.arange(height)
        # Each row of the grid is followed by its newline, so it takes width + 1 places.
        cell_offsets = kept_cells // width * (width + 1) + kept_cells % width
        before = len(groups[0][0])
        offsets = torch.cat((kept_base, before + cell_offsets, before + rows * (width + 1) + width))
        order = offsets.argsort()
        length = before + height * (width + 1)
        return PrunedImage(kept_base, kept_cells, embeddings[order], offsets[order], length)
