"""InternVL under test, in both formats: the same weights, by the names of each, and images cut by the code of each."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    GotOcr2ImageProcessor,
    InternVLConfig,
    InternVLForConditionalGeneration,
    InternVLProcessor,
    InternVLVideoProcessor,
    PreTrainedConfig,
    Qwen2Config,
)
from transformers.models.got_ocr2.image_processing_got_ocr2 import get_optimal_tiled_canvas

from evaluation.demo.tokenizer import chat_template
from tests.support.families.checkpoint import TEXT, built, save, tokens_with, wrapped
from tests.support.oracle import Amount, Oracle, PrunedImage, Stage
from tests.support.oracle_methods import Group, Method, Variant, keep, shares

TILE, PATCH, MOST_TILES = 112, 14, 6
SIDE = TILE // PATCH // 2
"""Tokens along a side of a tile."""
NAMED = {
    "start_image_token": "<img>",
    "end_image_token": "</img>",
    "context_image_token": "<IMG_CONTEXT>",
    "video_token": "<video>",
}
TOWER = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": [TILE, TILE],
    "patch_size": [PATCH, PATCH],
    "attention_bias": True,
}
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
CHAT_NAMES = {
    r"^vision_tower\.embeddings\.cls_token": "vision_model.embeddings.class_embedding",
    r"^vision_tower\.embeddings\.patch_embeddings\.projection": "vision_model.embeddings.patch_embedding",
    r"^vision_tower\.embeddings\.position_embeddings": "vision_model.embeddings.position_embedding",
    r"^vision_tower\.encoder\.layer\.": "vision_model.encoder.layers.",
    r"attention\.projection_layer": "attn.proj",
    "layernorm_before": "norm1",
    "layernorm_after": "norm2",
    r"lambda_(\d)": r"ls\1",
    r"^multi_modal_projector\.layer_norm": "mlp1.0",
    r"^multi_modal_projector\.linear_1": "mlp1.1",
    r"^multi_modal_projector\.linear_2": "mlp1.3",
}
"""Names of the weights in Transformers, and in InternVL's own format."""


class InternVLChatConfig(PreTrainedConfig):
    """Configuration of the own format, which published checkpoints bring as code."""

    model_type = "internvl_chat"

    def __init__(
        self, vision_config: dict[str, Any] | None = None, llm_config: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        self.vision_config = PreTrainedConfig(**(vision_config or {}))
        self.llm_config = Qwen2Config(**(llm_config or {}))
        super().__init__(**kwargs)


AutoConfig.register("internvl_chat", InternVLChatConfig)


class InternVLOracle(Oracle):
    """Pruned images and frames of InternVL in the format of Transformers."""

    model_class = InternVLForConditionalGeneration
    takes_videos = True
    image_text, apart = "<IMG_CONTEXT>", "\n"

    def arrange(
        self,
        prompt: str,
        images: list[Image.Image],
        videos: Sequence[np.ndarray],
        amount: Amount,
        stage: Stage,
        how: tuple[Method, Variant],
    ) -> tuple[str, list[PrunedImage]]:
        ratio, budget = amount
        rest, clips, pruned = iter(images), iter(videos), []

        def placed(match: re.Match[str]) -> str:
            if match[0] == self.image_text:
                pruned.append(self.prune_one(self.cut(next(rest)), [], amount, stage, how))
                return "<img><IMG_CONTEXT></img>"
            frames = self.frames(next(clips))
            share = (ratio, None if budget is None else max(1, budget // len(frames)))
            pruned.extend(self.prune_one((frame[None], (1, 1)), [], share, stage, how) for frame in frames)
            texts = (f"Frame{number}: <img><IMG_CONTEXT></img>" for number in range(1, len(frames) + 1))
            return self.apart.join(texts)

        return re.sub(f"{self.image_text}|<video>", placed, prompt), pruned

    def cut(self, image: Image.Image) -> tuple[torch.Tensor, tuple[int, int]]:
        """The tiles of an image, [n, 3, side, side], and how many are above and beside one another."""
        columns, rows = get_optimal_tiled_canvas((image.height, image.width), (TILE, TILE), 1, MOST_TILES)
        outputs = self.processor.image_processor(image, crop_to_patches=True, return_tensors="pt")
        return outputs["pixel_values"], (rows, columns)

    def frames(self, video: np.ndarray) -> torch.Tensor:
        """A video's frames [n, 3, side, side]."""
        frames: torch.Tensor = self.processor.video_processor(video, return_tensors="pt")["pixel_values_videos"][0]
        return frames

    @torch.inference_mode()
    def prune_one(
        self, pixels: Any, size: list[int], amount: Amount, stage: Stage, how: tuple[Method, Variant]
    ) -> PrunedImage:
        """One image or frame; `pixels` as from `cut`."""
        tiles, (rows, columns) = pixels
        features, embeddings = (values.unflatten(1, (SIDE, SIDE)) for values in self._read(tiles))
        count = rows * columns
        places = torch.arange(len(tiles) * SIDE**2).view(-1, SIDE, SIDE)
        grids = [
            values[:count].unflatten(0, (rows, columns)).transpose(1, 2).flatten(0, 3)  # [tokens, ...] row by row
            for values in (places, features, embeddings)
        ]
        thumbnails = [values[count:].flatten(0, 2) for values in (places, features, embeddings)]
        kept = []
        for group, number in zip((grids, thumbnails), shares(len(grids[0]), len(thumbnails[0]), *amount), strict=True):
            kept.append(self._keep(*group, number, stage, *how))
        offsets = torch.cat([where for _, where, _ in kept])
        order = offsets.argsort()
        rest = torch.cat([rows for _, _, rows in kept])[order]
        return PrunedImage(tuple(index for index, _, _ in kept), rest, offsets[order], len(tiles) * SIDE**2)

    def _read(self, tiles: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What the projector reads of each tile's tokens, and what it makes of them, [tiles, tokens, size]."""
        caught: list[torch.Tensor] = []
        projector = self.model.model.multi_modal_projector
        handle = projector.register_forward_hook(lambda _, inputs, __: caught.append(inputs[0]))
        embeddings = self.model.model.get_image_features(tiles).pooler_output
        handle.remove()
        return caught[0], embeddings

    def _keep(
        self,
        places: torch.Tensor,
        features: torch.Tensor,
        embeddings: torch.Tensor,
        count: int,
        stage: Stage,
        method: Method,
        variant: Variant,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Kept indices into a group, their places in the image, and their embeddings."""
        if method == "tome":
            index, rows = keep(Group(embeddings, features, features), count, method, variant)
            return index, places[index], rows
        scored = features if stage == "vision" else embeddings
        index, _ = keep(Group(scored, scored, scored), count, method, variant)
        return index, places[index], embeddings[index]


class InternVLChatOracle(InternVLOracle):
    """Pruned images and frames of InternVL in its own format, from the same weights in the format of Transformers."""

    image_text, apart = "<image>", ""

    def __init__(self, checkpoint: str | Path, dtype: torch.dtype = torch.float32) -> None:
        super().__init__(Path(checkpoint) / "transformers", dtype)

    def chat(self, *content: Any, system: str | None = None) -> str:
        return super().chat(*content, system=system).replace("<IMG_CONTEXT>", "<image>")

    def cut(self, image: Image.Image) -> tuple[torch.Tensor, tuple[int, int]]:
        columns, rows = get_optimal_tiled_canvas((image.height, image.width), (TILE, TILE), 1, MOST_TILES)
        whole = image.convert("RGB").resize((columns * TILE, rows * TILE))
        corners = [(column * TILE, row * TILE) for row in range(rows) for column in range(columns)]
        tiles = [whole.crop((left, top, left + TILE, top + TILE)) for left, top in corners]
        tiles += [image.convert("RGB").resize((TILE, TILE))] if len(tiles) > 1 else []
        return self._normalised(tiles), (rows, columns)

    def frames(self, video: np.ndarray) -> torch.Tensor:
        return self._normalised([Image.fromarray(frame).resize((TILE, TILE)) for frame in video])

    def _normalised(self, tiles: list[Image.Image]) -> torch.Tensor:
        pixels = torch.from_numpy(np.stack([np.asarray(tile) for tile in tiles])).float() / 255
        return ((pixels - torch.tensor(MEAN)) / torch.tensor(STD)).permute(0, 3, 1, 2)


def write_internvl(folder: Path) -> Path:
    """Write an InternVL of a few megabytes in the format of Transformers, and return the folder."""
    tokenizer = tokens_with(*NAMED.values(), "<|video_pad|>")
    config = InternVLConfig(
        architectures=["InternVLForConditionalGeneration"],
        text_config=TEXT | {"model_type": "qwen2", "vocab_size": tokenizer.get_vocab_size()},
        vision_config=TOWER,
        image_token_id=tokenizer.token_to_id("<IMG_CONTEXT>"),
        image_seq_length=SIDE**2,
        tie_word_embeddings=False,
        dtype="float32",
    )
    shape: dict[str, Any] = {"size": {"height": TILE, "width": TILE}, "image_mean": MEAN, "image_std": STD}
    processor = InternVLProcessor(
        GotOcr2ImageProcessor(**shape, crop_to_patches=True, max_patches=MOST_TILES),
        wrapped(tokenizer, NAMED),
        InternVLVideoProcessor(**shape),
        image_seq_length=SIDE**2,
        chat_template=chat_template("<IMG_CONTEXT>", "<video>"),
    )
    return save(folder, built(InternVLForConditionalGeneration, config, tokenizer), processor)


def write_interns1(folder: Path) -> Path:
    """Write the same model by its other name."""
    write_internvl(folder)
    config = AutoConfig.from_pretrained(folder)
    config.architectures = ["InternS1ForConditionalGeneration"]
    config.save_pretrained(folder)
    return folder


def write_internvl_chat(folder: Path) -> Path:
    """Write the same model in its own format, with that of Transformers in a folder inside for the oracle."""
    whole = write_internvl(folder / "transformers")
    weights = load_file(whole / "model.safetensors")
    save_file(_chat_weights(weights), folder / "model.safetensors", metadata={"format": "pt"})
    tokenizer = tokens_with(*NAMED.values(), "<|video_pad|>")
    wrapper = wrapped(tokenizer)
    wrapper.chat_template = chat_template("<image>", "<video>")
    wrapper.save_pretrained(folder)
    text = AutoConfig.from_pretrained(whole).text_config.to_dict()
    tower = TOWER | {"image_size": TILE, "patch_size": PATCH, "qkv_bias": True, "qk_normalization": False}
    tower |= {"norm_type": "layer_norm", "layer_norm_eps": 1e-6, "hidden_act": "gelu", "initializer_factor": 0.1}
    InternVLChatConfig(
        tower,
        text,
        architectures=["InternVLChatModel"],
        force_image_size=TILE,
        downsample_ratio=0.5,
        ps_version="v2",
        select_layer=-1,
        dynamic_image_size=True,
        min_dynamic_patch=1,
        max_dynamic_patch=MOST_TILES,
        use_thumbnail=True,
        dtype="float32",
    ).save_pretrained(folder)
    return folder


def _chat_weights(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Weights by the names of the own format, where queries, keys and values are one matrix."""
    named = {}
    for name, weight in weights.items():
        if "q_proj" in name and "vision_tower" in name:
            parts = [weights[name.replace("q_proj", f"{part}_proj")] for part in "qkv"]
            name, weight = name.replace("attention.q_proj", "attn.qkv"), torch.cat(parts)
        elif re.search("vision_tower.*[kv]_proj", name):
            continue
        for pattern, published in CHAT_NAMES.items():
            name = re.sub(pattern, published, name)
        named[name] = weight.contiguous()
    return named
