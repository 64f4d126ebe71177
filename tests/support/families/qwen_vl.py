"""Qwen-VL under test: an oracle in plain Transformers for all generations."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import (
    AutoModelForImageTextToText,
    DynamicCache,
)

from tests.support.oracle import Amount, Oracle, Positions, PrunedImage, Stage
from tests.support.oracle_methods import Group, Kept, Method, Variant, keep, keep_count

FRAME_RATE = 2.0


@dataclass(frozen=True, slots=True)
class Part:
    """Tokens of one frame of an image or video.

    Attributes:
        places: int64 [n], in the unpruned prompt.
        units: [n, d], what the merger reads of each.
        embeddings: [n, levels * d], what it makes of each, what deeper layers read included.
    """

    places: torch.Tensor
    units: torch.Tensor
    embeddings: torch.Tensor


def metadata_of(video: np.ndarray) -> dict[str, Any]:
    """What vLLM and Transformers want to know about a video [frames, height, width, 3]."""
    seconds = len(video) / FRAME_RATE
    return {
        "fps": FRAME_RATE,
        "duration": seconds,
        "total_num_frames": len(video),
        "frames_indices": list(range(len(video))),
        "video_backend": "none",
        "do_sample_frames": False,
    }


class QwenOracle(Oracle):
    """Greedy generation of Qwen-VL with pruned images and videos."""

    model_class = AutoModelForImageTextToText
    takes_videos = True
    threshold = 0.7

    @property
    def rounded(self) -> bool:  # type: ignore[override]
        return self.config.model_type.startswith("qwen3_5")  # vLLM computes its linear layers in bfloat16 only

    def prune_one(
        self, pixels: torch.Tensor, size: list[int], amount: Amount, stage: Stage, how: tuple[Method, Variant]
    ) -> PrunedImage:
        raise NotImplementedError  # several images are not a batch here

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
        forced: Sequence[int] = (),
    ) -> list[tuple[int, float]]:
        """As of the base class. `forced` tokens are taken in place of the likeliest ones."""
        inputs = self._inputs(images, videos, prompt)
        embeddings, position_ids = self._embed(inputs["input_ids"][0].tolist()), self._positions(inputs)
        levels = embeddings.new_zeros(len(embeddings), 0)
        stays = torch.ones(len(embeddings), dtype=torch.bool)
        for parts in self._items(inputs):
            for part in parts:
                count = keep_count(len(part.places), ratio)
                count = count if budget is None else max(1, min(len(part.places), budget // len(parts)))
                index, rows = self._keep(part, count, stage, method, variant)
                if not levels.shape[1]:
                    levels = embeddings.new_zeros(len(embeddings), rows.shape[1] - embeddings.shape[1])
                kept = part.places[index]
                embeddings[kept], levels[kept] = rows.split([embeddings.shape[1], levels.shape[1]], dim=1)
                stays[part.places] = False
                stays[kept] = True
        next_position = int(position_ids.max()) + 1
        if positions == "contiguous":
            position_ids, next_position = self._contiguous(position_ids, stays, inputs)
        visual = inputs["mm_token_type_ids"][0] > 0
        first = (embeddings[stays], position_ids[:, stays], visual[stays], levels[stays & visual])
        return self._continue(*first, next_position, forced or [None] * max_new_tokens)

    def _inputs(self, images: list[Image.Image], videos: Sequence[np.ndarray], prompt: str) -> Any:
        metadata = [metadata_of(video) for video in videos]
        for each in metadata:
            del each["do_sample_frames"]
        extra = {"do_sample_frames": False, "videos": list(videos), "video_metadata": metadata} if metadata else {}
        return self.processor(
            text=[prompt], images=images or None, return_tensors="pt", return_mm_token_type_ids=True, **extra
        )

    def _positions(self, inputs: Any) -> torch.Tensor:
        """Positions of the unpruned prompt, int64 [3, n]."""
        names = ("input_ids", "mm_token_type_ids", "image_grid_thw", "video_grid_thw", "second_per_grid_ts")
        positions, _ = self.model.model.get_rope_index(**{name: inputs[name] for name in names if name in inputs})
        return torch.as_tensor(positions[:, 0])

    def _contiguous(self, positions: torch.Tensor, stays: torch.Tensor, inputs: Any) -> tuple[torch.Tensor, int]:
        """Positions where the kept tokens of a run follow one another, and the one that comes next."""
        kinds, new, place, shift = inputs["mm_token_type_ids"][0], positions.clone(), 0, 0
        while place < len(kinds):
            end = place + 1
            while end < len(kinds) and kinds[end] == kinds[place]:
                end += 1
            run = slice(place, end)
            if kinds[place] and not stays[run].all():
                kept = int(stays[run].sum())
                new[:, run] = positions[0, place] - shift
                new[:, run][:, stays[run]] += torch.arange(kept)
                shift += int(positions[:, run].max() - positions[:, run].min()) + 1 - kept
            else:
                new[:, run] -= shift
            place = end
        return new, int(new[:, stays].max()) + 1

    def _items(self, inputs: Any) -> Iterator[list[Part]]:
        """The parts of each image and of each video."""
        for kind, (grids, pixels) in enumerate(
            [("image_grid_thw", "pixel_values"), ("video_grid_thw", "pixel_values_videos")], 1
        ):
            if grids not in inputs:
                continue
            places = (inputs["mm_token_type_ids"][0] == kind).nonzero().flatten()
            patches = inputs[pixels].split(inputs[grids].prod(-1).tolist())
            tokens = places.split((inputs[grids].prod(-1) // 4).tolist())
            for grid, part, where in zip(inputs[grids], patches, tokens, strict=True):
                units, embeddings = self._read(part, grid)
                size = len(where) // int(grid[0])
                yield [
                    Part(*values)
                    for values in zip(where.split(size), units.split(size), embeddings.split(size), strict=True)
                ]

    def _read(self, pixels: torch.Tensor, grid: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What the merger reads of each token, and what it and its like make of it."""
        tower, caught = self.model.model.visual, []
        handle = tower.merger.register_forward_hook(lambda _, inputs, __: caught.append(inputs[0]))
        output = tower(pixels.to(tower.dtype), grid_thw=grid[None], return_dict=True)
        handle.remove()
        units = caught[0].reshape(-1, 4 * caught[0].shape[-1])
        if hasattr(tower, "window_size"):
            from transformers.vision_utils import get_vision_window_index

            windows, _ = get_vision_window_index(
                grid[None], tower.spatial_merge_size, tower.window_size, tower.patch_size
            )
            units = units[windows.argsort()]
        levels = getattr(output, "deepstack_features", None) or []
        return units, torch.cat([output.pooler_output, *levels], dim=-1)

    def _keep(self, part: Part, count: int, stage: Stage, method: Method, variant: Variant) -> Kept:
        """The tokens of a part that stay, and their embeddings."""
        if method == "tome":
            return keep(Group(part.embeddings, part.units, part.units), count, method, variant)
        width = self.config.text_config.hidden_size
        scored = part.units if stage == "vision" else part.embeddings[:, :width]
        index, _ = keep(Group(scored.float(), scored, scored), count, method, variant, self.threshold)
        return index, part.embeddings[index]

    def _continue(
        self,
        embeddings: torch.Tensor,
        positions: torch.Tensor,
        visual: torch.Tensor,
        levels: torch.Tensor,
        position: int,
        forced: Sequence[int | None],
    ) -> list[tuple[int, float]]:
        cache, answer = DynamicCache(config=self.config.text_config), []
        deeper: dict[str, Any] = {}
        if levels.shape[1]:
            parts = levels.split(embeddings.shape[1], dim=1)
            deeper = {"visual_pos_masks": visual[None], "deepstack_visual_embeds": list(parts)}
        for token in forced:
            mask = torch.ones(1, cache.get_seq_length() + len(embeddings), dtype=torch.long)
            states = self.model.model.language_model(
                inputs_embeds=embeddings[None],
                position_ids=positions[:, None],
                attention_mask=mask,
                past_key_values=cache,
                use_cache=True,
                **deeper,
            ).last_hidden_state[0, -1]
            logprobs = self.model.lm_head(states).double().log_softmax(dim=-1)
            token = int(logprobs.argmax()) if token is None else token
            answer.append((token, float(logprobs[token])))
            if token == self.config.text_config.eos_token_id:
                break
            embeddings, positions, deeper = self._embed([token]), torch.full((3, 1), position), {}
            position += 1
        return answer
