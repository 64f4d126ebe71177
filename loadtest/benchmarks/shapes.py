"""LLaVA-NeXT in its published shapes, without weights and without a network: engines fill them in at random."""

from dataclasses import dataclass
from pathlib import Path

from transformers import (
    LlavaNextConfig,
    LlavaNextImageProcessor,
    LlavaNextProcessor,
    PreTrainedTokenizerFast,
)

from evaluation.demo.tokenizer import BEGIN, CHAT_TEMPLATE, END, IMAGE, PAD, SPECIAL_TOKENS, build_tokenizer
from gprune_vllm.flops import LLAVA_NEXT_8B, DecoderShape, TowerShape
from gprune_vllm.plan import PruneSpec, TokenPlan, plan_tokens

MAX_POSITIONS = 4096
PINPOINTS = ((1, 2), (2, 1), (2, 2), (3, 1), (1, 3))
"""Rows and columns of crops that published models may cut an image into."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Widths and depths of one model, and the picture it is asked about.

    Attributes:
        vocabulary_size: of the language model; the tokenizer knows only its first few.
        picture: width and height in pixels.
    """

    tower: TowerShape
    decoder: DecoderShape
    vocabulary_size: int
    tower_heads: int
    picture: tuple[int, int]

    @property
    def crop_size(self) -> int:
        """Side of a crop in pixels."""
        return int(self.tower.patches**0.5) * self.tower.patch_size

    @property
    def pinpoints(self) -> list[list[int]]:
        """Heights and widths in pixels."""
        return [[rows * self.crop_size, columns * self.crop_size] for rows, columns in PINPOINTS]

    def plan(self, picture: tuple[int, int], ratio: float) -> TokenPlan:
        """The visual tokens of a picture, told by its width and height."""
        return plan_tokens(picture[::-1], self.pinpoints, self.crop_size, self.tower.patch_size, PruneSpec(ratio))


SHAPES = {
    # LLaVA-NeXT-8B: CLIP ViT-L/14 at 336 pixels and Llama 3 8B.
    "8b": Shape(LLAVA_NEXT_8B.tower, LLAVA_NEXT_8B.decoder, LLAVA_NEXT_8B.vocabulary_size, 16, (640, 480)),
    # LLaVA-NeXT-7B with Vicuna: the same tower, and a key for each query.
    "7b": Shape(LLAVA_NEXT_8B.tower, DecoderShape(4096, 11008, 32, 32, 32, 128), 32064, 16, (640, 480)),
    # For tests: as small as vLLM's kernels for the CPU allow.
    "tiny": Shape(TowerShape(64, 128, 3, 2, 64, 65, 14), DecoderShape(128, 256, 2, 4, 2, 32), 512, 2, (213, 160)),
}


def write_checkpoint(folder: Path, shape: Shape, layers: int) -> Path:
    """Write configuration, tokenizer and processor of a model whose language model is `layers` deep."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=build_tokenizer(),
        pad_token=SPECIAL_TOKENS[PAD],
        bos_token=SPECIAL_TOKENS[BEGIN],
        eos_token=SPECIAL_TOKENS[END],
        model_max_length=MAX_POSITIONS,
        clean_up_tokenization_spaces=False,
    )
    crop = shape.crop_size
    images = LlavaNextImageProcessor(
        size={"shortest_edge": crop}, crop_size={"height": crop, "width": crop}, image_grid_pinpoints=shape.pinpoints
    )
    config_of(shape, layers).save_pretrained(folder)
    LlavaNextProcessor(
        images,
        tokenizer,
        patch_size=shape.tower.patch_size,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=CHAT_TEMPLATE,
    ).save_pretrained(folder)
    return folder


def config_of(shape: Shape, layers: int) -> LlavaNextConfig:
    """The configuration of a model whose language model is `layers` deep."""
    tower, decoder = shape.tower, shape.decoder
    return LlavaNextConfig(
        architectures=["LlavaNextForConditionalGeneration"],
        text_config={
            "model_type": "llama",
            "vocab_size": shape.vocabulary_size,
            "hidden_size": decoder.hidden_size,
            "intermediate_size": decoder.intermediate_size,
            "num_hidden_layers": layers,
            "num_attention_heads": decoder.heads,
            "num_key_value_heads": decoder.kv_heads,
            "max_position_embeddings": MAX_POSITIONS,
            "pad_token_id": PAD,
            "bos_token_id": BEGIN,
            "eos_token_id": END,
            "dtype": "bfloat16",
        },
        vision_config={
            "model_type": "clip_vision_model",
            "hidden_size": tower.hidden_size,
            "intermediate_size": tower.intermediate_size,
            "num_hidden_layers": tower.layers,
            "num_attention_heads": shape.tower_heads,
            "image_size": shape.crop_size,
            "patch_size": tower.patch_size,
            "dtype": "bfloat16",
        },
        image_token_index=IMAGE,
        image_grid_pinpoints=shape.pinpoints,
        image_seq_length=tower.patches,
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        dtype="bfloat16",
    )
