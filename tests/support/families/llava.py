"""LLaVA-1.5 under test."""

from pathlib import Path

import torch
from transformers import (
    CLIPImageProcessor,
    GenerationConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)

from evaluation.demo.checkpoint import (
    PATCH,
    CheckpointOptions,
    random_weights,
    text_config,
    vision_config,
    wrapped,
    write_weights,
)
from evaluation.demo.tokenizer import BEGIN, END, IMAGE, PAD, build_tokenizer, chat_template
from evaluation.scenes.scene import CROP
from tests.support.oracle import Amount, Oracle, PrunedImage, Stage
from tests.support.oracle_methods import Group, Method, Variant, keep, keep_count

MERGING = ("tome", "visionzip")


class LlavaOracle(Oracle):
    """Pruned images of LLaVA-1.5. Tokens are scored before the projector, and merged behind it."""

    model_class = LlavaForConditionalGeneration

    def prune_one(
        self, pixels: torch.Tensor, size: list[int], amount: Amount, stage: Stage, how: tuple[Method, Variant]
    ) -> PrunedImage:
        features, attention, keys = (values[0] for values in self.read_layer(pixels[None]))
        embeddings = self.model.model.multi_modal_projector(features)
        ratio, budget = amount
        count = keep_count(len(features), ratio) if budget is None else min(budget, len(features))
        early = stage == "vision" and how[0] not in MERGING
        columns = self.config.vision_config.image_size // self.config.vision_config.patch_size
        index, kept = keep(Group(features if early else embeddings, attention[:, 0], keys, columns), count, *how)
        return PrunedImage((index,), embeddings[index] if early else kept, index, len(features))


def write_llava(folder: Path) -> Path:
    """Write a LLaVA-1.5 of a few megabytes, shaped like the published checkpoints of llava-hf."""
    folder.mkdir(parents=True)
    tokenizer, options = build_tokenizer(), CheckpointOptions()
    config = LlavaConfig(
        architectures=["LlavaForConditionalGeneration"],
        text_config=text_config(options, tokenizer.get_vocab_size()),
        vision_config=vision_config(options),
        image_token_index=IMAGE,
        image_seq_length=(CROP // PATCH) ** 2,
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        dtype="float32",
    )
    config.save_pretrained(folder)
    GenerationConfig(pad_token_id=PAD, bos_token_id=BEGIN, eos_token_id=END).save_pretrained(folder)
    LlavaProcessor(
        CLIPImageProcessor(size={"shortest_edge": CROP}, crop_size={"height": CROP, "width": CROP}),
        wrapped(tokenizer, options.max_position_embeddings),
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=chat_template(),
    ).save_pretrained(folder)
    weights = random_weights(config, tokenizer, options.seed, LlavaForConditionalGeneration)
    write_weights(folder / "model.safetensors", weights, "float32")
    return folder
