"""Qwen-VL under test: checkpoints of a few megabytes, and an oracle in plain Transformers for all of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from transformers import (
    AutoModelForImageTextToText,
    DynamicCache,
    Qwen2VLImageProcessor,
    Qwen2VLVideoProcessor,
    Qwen3VLVideoProcessor,
)

from evaluation.demo.tokenizer import QWEN_MEDIA, QWEN_TOKENS, chat_template
from tests.support.families.checkpoint import TEXT, built, save, tokens_with, wrapped
from tests.support.oracle import Amount, Oracle, Positions, PrunedImage, Stage
from tests.support.oracle_methods import Group, Kept, Method, Variant, keep, keep_count

TOKENS_PER_IMAGE = 256
FRAME_RATE = 2.0
TOWER = {"depth": 3, "num_heads": 2, "spatial_merge_size": 2, "temporal_patch_size": 2, "in_channels": 3}
QWEN2_TOWER = TOWER | {"embed_dim": 64, "hidden_size": 128, "mlp_ratio": 2, "patch_size": 14}
QWEN2_5_TOWER = TOWER | {
    "hidden_size": 64,
    "out_hidden_size": 128,
    "intermediate_size": 128,
    "patch_size": 14,
    "window_size": 56,
    "fullatt_block_indexes": [1],
    "tokens_per_second": 2,
}
QWEN3_TOWER = TOWER | {
    "depth": 4,
    "hidden_size": 64,
    "out_hidden_size": 128,
    "intermediate_size": 128,
    "patch_size": 16,
    "num_position_embeddings": 256,
    "deepstack_visual_indexes": [0, 1, 2],
}
EXPERTS = {
    "num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 96,
    "decoder_sparse_step": 1,
    "norm_topk_prob": True,
}
LINEAR = {
    "linear_key_head_dim": 128,
    "linear_value_head_dim": 128,
    "linear_num_key_heads": 1,
    "linear_num_value_heads": 2,
    "linear_conv_kernel_dim": 4,
    "mamba_ssm_dtype": "float32",
    "layer_types": ["linear_attention", "full_attention"] * 2,
}


@dataclass(frozen=True, slots=True)
class Generation:
    """What the models of one generation share.

    Attributes:
        name: of Transformers' classes, without "Config", "Processor" and so on.
        processor: name of the processor's classes.
        tower: configuration of the tower.
        text: what the language model's configuration has beyond `TEXT`.
        rope: parameters of the rotary embedding.
        video_processor: class of the video processor.
        dtype: of the weights.
    """

    name: str
    processor: str
    tower: dict[str, Any]
    text: dict[str, Any]
    rope: dict[str, Any]
    video_processor: type = Qwen3VLVideoProcessor
    dtype: str = "float32"


SECTIONS = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [4, 6, 6]}
INTERLEAVED = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [6, 5, 5], "mrope_interleaved": True}
PARTIAL = INTERLEAVED | {"mrope_section": [2, 1, 1], "partial_rotary_factor": 0.25}
GENERATIONS = {
    "qwen2_vl": Generation("Qwen2VL", "Qwen2VL", QWEN2_TOWER, {}, SECTIONS, Qwen2VLVideoProcessor),
    "qwen2_5_vl": Generation("Qwen2_5_VL", "Qwen2_5_VL", QWEN2_5_TOWER, {}, SECTIONS, Qwen2VLVideoProcessor),
    "qwen3_vl": Generation("Qwen3VL", "Qwen3VL", QWEN3_TOWER, {}, INTERLEAVED),
    "qwen3_vl_moe": Generation("Qwen3VLMoe", "Qwen3VL", QWEN3_TOWER, EXPERTS, INTERLEAVED),
    "qwen3_5": Generation(
        "Qwen3_5", "Qwen3VL", QWEN3_TOWER | {"deepstack_visual_indexes": []}, LINEAR, PARTIAL, dtype="bfloat16"
    ),
    "qwen3_5_moe": Generation(
        "Qwen3_5Moe",
        "Qwen3VL",
        QWEN3_TOWER | {"deepstack_visual_indexes": []},
        LINEAR | EXPERTS | {"shared_expert_intermediate_size": 64},
        PARTIAL,
        dtype="bfloat16",
    ),
}


def write_qwen(name: str, folder: Path) -> Path:
    """Write a Qwen-VL of a few megabytes, one of `GENERATIONS`, into a folder, and return the folder."""
    generation = GENERATIONS[name]
    tokenizer = tokens_with(*QWEN_TOKENS)
    model_class = getattr(transformers, f"{generation.name}ForConditionalGeneration")
    model = built(model_class, _config(generation, tokenizer), tokenizer).to(getattr(torch, generation.dtype))
    save(folder, model, _processor(generation, tokenizer))
    if generation.name == "Qwen3VLMoe":
        _transpose_experts(folder / "model.safetensors")
    return folder


def _config(generation: Generation, tokenizer: Tokenizer) -> Any:
    ids = {name: tokenizer.token_to_id(token) for name, token in zip(_ID_NAMES, QWEN_TOKENS, strict=True)}
    text = TEXT | generation.text | {"vocab_size": tokenizer.get_vocab_size(), "rope_parameters": generation.rope}
    return getattr(transformers, f"{generation.name}Config")(
        architectures=[f"{generation.name}ForConditionalGeneration"],
        text_config=text,
        vision_config=generation.tower,
        tie_word_embeddings=False,
        dtype=generation.dtype,
        **ids,
    )


_ID_NAMES = ("vision_start_token_id", "vision_end_token_id", "image_token_id", "video_token_id")


def _processor(generation: Generation, tokenizer: Tokenizer) -> Any:
    side = generation.tower["patch_size"]
    size = {"shortest_edge": (2 * side) ** 2, "longest_edge": (2 * side) ** 2 * TOKENS_PER_IMAGE}
    shape = {"patch_size": side, "merge_size": 2, "temporal_patch_size": 2, "size": size}
    shape |= {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}  # vLLM normalises videos as it does images
    return getattr(transformers, f"{generation.processor}Processor")(
        Qwen2VLImageProcessor(**shape),
        wrapped(tokenizer),
        generation.video_processor(**shape),
        chat_template=chat_template(**QWEN_MEDIA),
    )


def _transpose_experts(file: Path) -> None:
    """Store experts as published checkpoints do, which Transformers undoes where it loads them."""
    weights = load_file(file)
    experts = {name: weight.transpose(1, 2).contiguous() for name, weight in weights.items() if ".experts." in name}
    save_file(weights | experts, file, metadata={"format": "pt"})


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
