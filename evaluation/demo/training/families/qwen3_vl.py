"""The Qwen3-VL demo model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from transformers import (
    GenerationConfig,
    PreTrainedModel,
    Qwen2VLImageProcessor,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    Qwen3VLProcessor,
    Qwen3VLVideoProcessor,
)

from evaluation.demo.checkpoint import wrapped
from evaluation.demo.tokenizer import BEGIN, END, PAD, QWEN_MEDIA, QWEN_TOKENS, build_tokenizer, chat_template
from evaluation.demo.training.families.family import Family, Pixels, Visual
from evaluation.demo.training.labels import View
from evaluation.scenes.scene import Scene

PATCH, MERGE = 8, 2
"""Pixels a side, and patches a side of a visual token."""
LIMITS = {"shortest_edge": 64 * (PATCH * MERGE) ** 2, "longest_edge": 196 * (PATCH * MERGE) ** 2}
"""Pixels of a picture: 64 to 196 visual tokens."""
POSITIONS = 4096
TOWER = {
    "depth": 5,
    "hidden_size": 128,
    "intermediate_size": 512,
    "num_heads": 4,
    "patch_size": PATCH,
    "spatial_merge_size": MERGE,
    "temporal_patch_size": 2,
    "out_hidden_size": 256,
    "num_position_embeddings": 28**2,
    "deepstack_visual_indexes": [1, 3],
}
DECODER = {
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "max_position_embeddings": POSITIONS,
    "rope_parameters": {
        "rope_type": "default",
        "rope_theta": 10000.0,
        "mrope_section": [12, 10, 10],
        "mrope_interleaved": True,
    },
    "pad_token_id": PAD,
    "bos_token_id": BEGIN,
    "eos_token_id": END,
    "tie_word_embeddings": False,
}


class Qwen3VL(Family):
    """`pixels` are patches `[patches, 2 * 3 * size * size]`, the four of a visual token next to one another, `grids`
    numbers of frames, rows and columns of patches."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.tokenizer = build_tokenizer(texts)
        self.tokenizer.add_special_tokens(list(QWEN_TOKENS))
        begin, end, self._image, self._video = (self.tokenizer.encode(token).ids[0] for token in QWEN_TOKENS)
        self.before, self.after = (begin,), (end,)
        shape = {"patch_size": PATCH, "merge_size": MERGE, "temporal_patch_size": 2, "size": LIMITS}
        shape |= {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
        self._processor = Qwen3VLProcessor(
            Qwen2VLImageProcessor(**shape),
            wrapped(self.tokenizer, POSITIONS),
            Qwen3VLVideoProcessor(**shape),
            chat_template=chat_template(**QWEN_MEDIA, images_first=True),
        )

    def build_model(self) -> PreTrainedModel:
        (begin,), (end,) = self.before, self.after
        config = Qwen3VLConfig(
            architectures=["Qwen3VLForConditionalGeneration"],
            text_config=DECODER | {"vocab_size": self.tokenizer.get_vocab_size(), "dtype": "bfloat16"},
            vision_config=TOWER | {"dtype": "bfloat16"},
            image_token_id=self._image,
            video_token_id=self._video,
            vision_start_token_id=begin,
            vision_end_token_id=end,
            tie_word_embeddings=False,
            dtype="bfloat16",
        )
        for part in (config, config.text_config, config.vision_config):
            part._attn_implementation = "eager"
        return Qwen3VLForConditionalGeneration(config).float()

    def tower_of(self, model: PreTrainedModel) -> nn.Module:
        tower: nn.Module = model.model.visual
        return tower

    def freeze_tower(self, model: PreTrainedModel) -> None:
        tower = model.model.visual.requires_grad_(False)
        tower.merger.requires_grad_(True)
        tower.deepstack_merger_list.requires_grad_(True)

    def pixels(self, pictures: Sequence[Image.Image]) -> Pixels:
        processed = self._processor.image_processor(list(pictures), return_tensors="pt")
        return {"pixels": processed.pixel_values, "grids": processed.image_grid_thw}

    def views(self, scene: Scene, grid: Tensor) -> list[View]:
        _, rows, columns = grid.tolist()
        return [View(0, 0, scene.width, scene.height, rows, columns, block=MERGE)]

    def features(self, tower: nn.Module, batch: Pixels) -> Tensor:
        features: Tensor = tower(batch["pixels"], batch["grids"]).last_hidden_state
        return features

    def visual(self, model: PreTrainedModel, batch: Pixels) -> Visual:
        read = model.model.visual(batch["pixels"], batch["grids"])
        each = (len(batch["grids"]), -1)
        return Visual(
            read.pooler_output.unflatten(0, each), tuple(x.unflatten(0, each) for x in read.deepstack_features)
        )

    def positions(self, first: int, visual_tokens: int, batch: Pixels) -> tuple[Tensor, int]:
        _, rows, columns = batch["grids"][0].tolist()
        rows, columns = rows // MERGE, columns // MERGE
        frame = torch.zeros(visual_tokens, dtype=torch.int64)
        places = torch.arange(visual_tokens)
        picture = torch.stack((frame, places // columns, places % columns)) + first  # [3, visual_tokens]
        return torch.cat((torch.arange(first).expand(3, -1), picture), dim=-1), first + max(rows, columns)

    def states(self, model: PreTrainedModel, visual: Visual, first: int, **inputs: Any) -> tuple[Tensor, ...]:
        visual_tokens = visual.embeddings.shape[1]
        mask = torch.zeros(inputs["inputs_embeds"].shape[:2], dtype=torch.bool, device=visual.embeddings.device)
        mask[:, first : first + visual_tokens] = True
        states: tuple[Tensor, ...] = model.model.language_model(
            **inputs,
            use_cache=False,
            output_hidden_states=True,
            visual_pos_masks=mask,
            deepstack_visual_embeds=[level.flatten(0, 1) for level in visual.levels],  # [scenes * visual_tokens, ...]
        ).hidden_states
        return states

    def save(self, model: PreTrainedModel, folder: Path) -> None:
        model.to(torch.bfloat16).save_pretrained(folder)
        GenerationConfig(pad_token_id=PAD, bos_token_id=BEGIN, eos_token_id=END).save_pretrained(folder)
        self._processor.save_pretrained(folder)
        (folder / "model.safetensors").chmod(0o644)  # safetensors itself makes files private to their owner
