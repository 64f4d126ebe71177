"""Idefics3 and SmolVLM under test."""

from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import (
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3ImageProcessor,
    Idefics3Processor,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
    SmolVLMImageProcessor,
    SmolVLMProcessor,
    SmolVLMVideoProcessor,
)
from transformers.models.smolvlm import processing_smolvlm

from evaluation.demo.tokenizer import IMAGE, chat_template
from tests.support.families.checkpoint import TEXT, built, save, tokens_with, wrapped
from tests.support.families.crops import CropsOracle

TILE, PATCH, MERGE, LONGEST = 112, 14, 2, 224
SIDE = TILE // PATCH // MERGE
"""Tokens along a side of a tile."""
NAMED = ("<fake_token_around_image>", "<end_of_utterance>", "<global-img>")
PLACES = tuple(f"<row_{row}_col_{column}>" for row in (1, 2) for column in (1, 2))
TOWER = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "image_size": TILE,
    "patch_size": PATCH,
}
# Spells the number of a video's frames. Transformers refuses to make the processor without it, for images too.
processing_smolvlm.num2words = processing_smolvlm.num2words or str


class Idefics3Oracle(CropsOracle):
    """Pruned images of Idefics3."""

    model_class = Idefics3ForConditionalGeneration
    place = token = "<image>"

    @property
    def decoder(self) -> Any:
        return self.model.model.text_model

    @torch.inference_mode()
    def read(self, image: Image.Image) -> tuple[list[tuple[torch.Tensor, torch.Tensor]], str]:
        """Tokens are scored on their four patches before the tower's last norm."""
        outputs = self.processor.image_processor([[image]], return_tensors="pt", return_row_col_info=True)
        caught: list[torch.Tensor] = []
        norm = self.model.model.vision_model.post_layernorm
        handle = norm.register_forward_hook(lambda _, inputs, __: caught.append(inputs[0]))
        embeddings = self.model.model.get_image_features(
            outputs["pixel_values"], outputs["pixel_attention_mask"]
        ).pooler_output
        handle.remove()
        squares = caught[0].unflatten(1, (SIDE, MERGE, SIDE, MERGE)).transpose(2, 3).flatten(3).flatten(1, 2)
        return list(zip(squares, embeddings, strict=True)), self.processor.replace_image_token(outputs, 0)


class SmolVLMOracle(Idefics3Oracle):
    """Pruned images of SmolVLM."""

    model_class = SmolVLMForConditionalGeneration


def _write(processor: Any, config_class: Any, model_class: Any, image_processor: Any, folder: Path) -> Path:
    """Write a model of a few megabytes into a folder, and return the folder.

    Args:
        processor: makes one of an image processor, a tokenizer and further options.
    """
    tokenizer = tokens_with(*NAMED, *PLACES)
    config = config_class(
        architectures=[model_class.__name__],
        text_config=TEXT | {"model_type": "llama", "vocab_size": tokenizer.get_vocab_size()},
        vision_config=TOWER,
        image_token_id=IMAGE,
        scale_factor=MERGE,
        pad_token_id=TEXT["pad_token_id"],
        dtype="float32",
    )
    shape = {"size": {"longest_edge": LONGEST}, "max_image_size": {"longest_edge": TILE}}
    made = processor(
        image_processor(**shape), wrapped(tokenizer), image_seq_len=SIDE**2, chat_template=chat_template("<image>")
    )
    return save(folder, built(model_class, config, tokenizer), made)


def _smolvlm_processor(image_processor: Any, tokenizer: Any, **options: Any) -> SmolVLMProcessor:
    return SmolVLMProcessor(image_processor, tokenizer, SmolVLMVideoProcessor(), **options)


write_idefics3 = partial(
    _write, Idefics3Processor, Idefics3Config, Idefics3ForConditionalGeneration, Idefics3ImageProcessor
)
write_smolvlm = partial(
    _write, _smolvlm_processor, SmolVLMConfig, SmolVLMForConditionalGeneration, SmolVLMImageProcessor
)
