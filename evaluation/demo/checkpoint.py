"""Write a small LLaVA-NeXT checkpoint of our own, with seeded random weights.

It has the shape of the published ``llava-hf`` checkpoints, name for name, so that stock vLLM and Transformers load it
like a real one, but it is two megabytes and answers at once without a GPU. What it writes is nonsense; how that depends
on the image is not: the gains below make greedy answers differ from image to image, and leave the patches of a photo
partly similar (cosine above 0.5), partly not, as those of a trained tower are.
"""

import math
import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer
from transformers import (
    GenerationConfig,
    LlavaNextConfig,
    LlavaNextForConditionalGeneration,
    LlavaNextImageProcessor,
    LlavaNextProcessor,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from evaluation.demo.tokenizer import BEGIN, END, IMAGE, PAD, SPECIAL_TOKENS, build_tokenizer, chat_template
from evaluation.scenes.scene import CROP

LanguageModel = Literal["llama", "mistral", "qwen2"]
Tower = Literal["clip", "siglip"]
DataType = Literal["float32", "bfloat16"]

PATCH = 14  # pixels; crops of 112 are then 8 x 8 = 64 tokens, where published models have 24 x 24 = 576
GRID_PINPOINTS = ((112, 224), (224, 112), (224, 224), (336, 112), (112, 336))
MAX_POSITION_EMBEDDINGS = 4096

# What Transformers 5 calls the parts, and what published checkpoints (and so vLLM) call them.
PUBLISHED_PREFIXES = {
    "model.language_model.": "language_model.model.",
    "model.vision_tower.": "vision_tower.vision_model.",
    "model.multi_modal_projector.": "multi_modal_projector.",
    "model.image_newline": "image_newline",
    "lm_head.": "language_model.lm_head.",
}

# How much larger than its input a layer's output is, where not 1.
GAINS = {
    "position_embedding": 0.3,
    "embed_tokens": 0.5,
    "q_proj": 2.0,  # narrow attention: under a wide one every token sees the same mean of the image
    "k_proj": 2.0,
    "down_proj": 2.0,
    "lm_head": 6.0,
}


@dataclass(frozen=True, slots=True)
class Size:
    """Widths and depths. Heads of 32 are the smallest that vLLM's CPU attention knows."""

    tower_hidden: int
    tower_intermediate: int
    tower_layers: int
    hidden: int
    intermediate: int
    layers: int
    head: int
    tower_head: int = 32


TINY = Size(tower_hidden=64, tower_intermediate=128, tower_layers=3, hidden=128, intermediate=256, layers=2, head=32)


@dataclass(frozen=True, slots=True)
class CheckpointOptions:
    """How one demo checkpoint differs from the next; pinpoints are (height, width) in pixels."""

    language_model: LanguageModel = "llama"
    tower: Tower = "clip"
    size: Size = TINY
    seed: int = 0
    dtype: DataType = "float32"
    grid_pinpoints: tuple[tuple[int, int], ...] = GRID_PINPOINTS
    max_position_embeddings: int = MAX_POSITION_EMBEDDINGS
    images_first: bool = False

    @property
    def select_strategy(self) -> str:
        """CLIP has a CLS token to drop, SigLIP has none."""
        return "default" if self.tower == "clip" else "full"

    @property
    def pinpoints(self) -> list[list[int]]:
        """The pinpoints as JSON has them."""
        return [list(pinpoint) for pinpoint in self.grid_pinpoints]


def write_checkpoint(
    path: str | Path,
    *,
    language_model: LanguageModel = "llama",
    tower: Tower = "clip",
    seed: int = 0,
    dtype: DataType = "float32",
    grid_pinpoints: Sequence[tuple[int, int]] | None = None,
    max_position_embeddings: int = MAX_POSITION_EMBEDDINGS,
) -> Path:
    """Write a checkpoint into the folder `path`, made where missing, and return the folder."""
    pinpoints = tuple(grid_pinpoints or GRID_PINPOINTS)
    options = CheckpointOptions(language_model, tower, TINY, seed, dtype, pinpoints, max_position_embeddings)
    tokenizer = build_tokenizer()
    config = build_config(options, tokenizer.get_vocab_size())
    return write_model(Path(path), options, tokenizer, random_weights(config, tokenizer, seed))


def write_model(
    folder: Path, options: CheckpointOptions, tokenizer: Tokenizer, weights: Mapping[str, torch.Tensor]
) -> Path:
    """Write weights, configuration, tokenizer, chat template and image processor into `folder`, made where missing."""
    folder.mkdir(parents=True, exist_ok=True)
    build_config(options, tokenizer.get_vocab_size()).save_pretrained(folder)
    GenerationConfig(pad_token_id=PAD, bos_token_id=BEGIN, eos_token_id=END).save_pretrained(folder)
    build_processor(options, tokenizer).save_pretrained(folder)
    write_weights(folder / "model.safetensors", weights, options.dtype)
    return folder


def build_processor(options: CheckpointOptions, tokenizer: Tokenizer) -> LlavaNextProcessor:
    """Tokenizer, chat template and a CLIP-like image processor; the template, not the tokenizer, writes ``<s>``."""
    image_processor = LlavaNextImageProcessor(
        size={"shortest_edge": CROP},
        crop_size={"height": CROP, "width": CROP},
        image_grid_pinpoints=options.pinpoints,
    )
    return LlavaNextProcessor(
        image_processor,
        wrapped(tokenizer, options.max_position_embeddings),
        patch_size=PATCH,
        vision_feature_select_strategy=options.select_strategy,
        num_additional_image_tokens=1 if options.tower == "clip" else 0,
        chat_template=chat_template(images_first=options.images_first),
    )


def wrapped(tokenizer: Tokenizer, max_length: int) -> PreTrainedTokenizerFast:
    """Wrap a tokenizer as Transformers wants it."""
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=SPECIAL_TOKENS[PAD],
        bos_token=SPECIAL_TOKENS[BEGIN],
        eos_token=SPECIAL_TOKENS[END],
        model_max_length=max_length,
        clean_up_tokenization_spaces=False,
    )


def build_config(options: CheckpointOptions, vocabulary_size: int) -> LlavaNextConfig:
    """LLaVA-NeXT around the small language model and tower below."""
    return LlavaNextConfig(
        architectures=["LlavaNextForConditionalGeneration"],
        text_config=text_config(options, vocabulary_size),
        vision_config=vision_config(options),
        image_token_index=IMAGE,
        image_grid_pinpoints=options.pinpoints,
        image_seq_length=(CROP // PATCH) ** 2,
        vision_feature_layer=-2,
        vision_feature_select_strategy=options.select_strategy,
        dtype=options.dtype,
    )


def text_config(options: CheckpointOptions, vocabulary_size: int) -> dict[str, Any]:
    """A language model whose heads share two key-value heads."""
    return {
        "model_type": options.language_model,
        "vocab_size": vocabulary_size,
        "hidden_size": options.size.hidden,
        "intermediate_size": options.size.intermediate,
        "num_hidden_layers": options.size.layers,
        "num_attention_heads": options.size.hidden // options.size.head,
        "num_key_value_heads": 2,
        "initializer_range": options.size.hidden**-0.5,
        "max_position_embeddings": options.max_position_embeddings,
        "sliding_window": None,  # Mistral's default would hide the start of a long prompt
        "tie_word_embeddings": False,
        "pad_token_id": PAD,
        "bos_token_id": BEGIN,
        "eos_token_id": END,
        "dtype": options.dtype,
    }


def vision_config(options: CheckpointOptions) -> dict[str, Any]:
    """A tower, of which LLaVA-NeXT reads the last layer but one."""
    return {
        "model_type": f"{options.tower}_vision_model",
        "hidden_size": options.size.tower_hidden,
        "intermediate_size": options.size.tower_intermediate,
        "num_hidden_layers": options.size.tower_layers,
        "num_attention_heads": options.size.tower_hidden // options.size.tower_head,
        "image_size": CROP,
        "patch_size": PATCH,
        "vision_use_head": False,  # SigLIP's pooling, which LLaVA-NeXT has no use for
        "dtype": options.dtype,
    }


def random_weights(
    config: PreTrainedConfig,
    tokenizer: Tokenizer,
    seed: int,
    model_class: type[PreTrainedModel] = LlavaNextForConditionalGeneration,
) -> dict[str, torch.Tensor]:
    """Draw all weights in float32, under their published names."""
    with torch.device("meta"):  # only the names and shapes are wanted
        model = model_class(config)
    generator = torch.Generator().manual_seed(seed)
    weights = {
        published_name(name): random_weight(name, parameter.shape, generator)
        for name, parameter in model.named_parameters()
    }
    weights["language_model.lm_head.weight"][~printable(tokenizer)] = 0.0
    return weights


def random_weight(name: str, shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
    """One float32 weight of the given shape. Norms are the identity; all else is normal, scaled to keep sizes."""
    layer, kind = name.split(".")[-2:]
    if "norm" in layer:
        return torch.ones(shape) if kind == "weight" else torch.zeros(shape)
    is_table = layer in ("embed_tokens", "position_embedding") or len(shape) == 1
    fan_in = 1 if is_table else math.prod(shape[1:])
    scale = 0.1 if kind == "bias" else GAINS.get(layer, 1.0) / math.sqrt(fan_in)
    return torch.randn(shape, generator=generator) * scale


def published_name(name: str) -> str:
    """The published name of the weight that Transformers calls `name`."""
    prefix = next(prefix for prefix in PUBLISHED_PREFIXES if name.startswith(prefix))
    return PUBLISHED_PREFIXES[prefix] + name.removeprefix(prefix)


def printable(tokenizer: Tokenizer) -> torch.Tensor:
    """bool [vocabulary], true for visible ASCII. Nothing else is ever generated, so answers are legible and run on
    until `max_tokens`."""
    visible = set(string.ascii_letters + string.digits + string.punctuation + " ")
    tokens = range(tokenizer.get_vocab_size())
    return torch.tensor([tokenizer.decode([token], skip_special_tokens=False) in visible for token in tokens])


def write_weights(file: Path, weights: Mapping[str, torch.Tensor], dtype: DataType) -> None:
    """Write the weights in `dtype`, readable by all: safetensors itself makes files private to their owner."""
    target = getattr(torch, dtype)
    save_file({name: weight.to(target) for name, weight in weights.items()}, file, metadata={"format": "pt"})
    file.chmod(0o644)
