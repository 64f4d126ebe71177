"""Mistral 3 under test."""

from pathlib import Path
from typing import Any

import torch
from transformers import (
    Mistral3Config,
    Mistral3ForConditionalGeneration,
    PixtralImageProcessor,
    PixtralProcessor,
)

from evaluation.demo.tokenizer import chat_template
from tests.support.families.checkpoint import TEXT, built, save, tokens_with, wrapped
from tests.support.oracle import Amount, Oracle, PrunedImage, Stage
from tests.support.oracle_methods import Group, Method, Variant, keep, keep_count

IMAGE, BREAK, END = "[IMG]", "[IMG_BREAK]", "[IMG_END]"
LONGEST, PATCH, MERGE = 448, 14, 2
TOWER = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "head_dim": 32,
    "image_size": LONGEST,
    "patch_size": PATCH,
}


class Mistral3Oracle(Oracle):
    """Pruned images of Mistral 3. The tokens that Transformers writes for an image tell where its breaks are."""

    model_class = Mistral3ForConditionalGeneration

    def pixels(self, images: list[Any]) -> list[Any]:
        return [self.processor(text=IMAGE, images=image, return_tensors="pt") for image in images]

    def prune_one(
        self, pixels: Any, size: list[int], amount: Amount, stage: Stage, how: tuple[Method, Variant]
    ) -> PrunedImage:
        tokens = pixels["input_ids"][0]
        tokens = tokens[torch.isin(tokens, torch.tensor(self.processor.image_token_ids))]
        places = (tokens == self.image_token).nonzero().flatten()
        features, embeddings = self._read(pixels)
        ratio, budget = amount
        count = keep_count(len(places), ratio) if budget is None else min(budget, len(places))
        early = stage == "vision" and how[0] != "tome"
        scored = features if early else embeddings
        index, kept = keep(Group(scored, features, features), count, *how)
        breaks = (tokens != self.image_token).nonzero().flatten()
        offsets, order = torch.cat([places[index], breaks]).sort()
        rows = torch.cat([embeddings[index] if early else kept, self._embed(tokens[breaks].tolist())])[order]
        return PrunedImage((index,), rows, offsets, len(tokens))

    def _read(self, pixels: Any) -> tuple[torch.Tensor, torch.Tensor]:
        """The four patches of each token as the projector reads them, and its embedding."""
        caught: list[torch.Tensor] = []
        projector = self.model.model.multi_modal_projector
        handle = projector.register_forward_hook(lambda _, inputs, __: caught.append(inputs[0]))
        (embeddings,) = self.model.model.get_image_features(
            pixels["pixel_values"], pixels["image_sizes"], vision_feature_layer=-1
        ).pooler_output
        handle.remove()
        height, width = (pixels["image_sizes"][0] // PATCH).tolist()
        squares = caught[0].view(height // MERGE, MERGE, width // MERGE, MERGE, -1).transpose(1, 2)
        return squares.flatten(2).flatten(0, 1), embeddings


def write_mistral3(folder: Path) -> Path:
    """Write a Mistral 3 of a few megabytes into a folder, and return the folder."""
    tokenizer = tokens_with(IMAGE, BREAK, END)
    config = Mistral3Config(
        architectures=["Mistral3ForConditionalGeneration"],
        text_config=TEXT | {"model_type": "mistral", "vocab_size": tokenizer.get_vocab_size()},
        vision_config=TOWER,
        image_token_index=tokenizer.token_to_id(IMAGE),
        spatial_merge_size=MERGE,
        tie_word_embeddings=False,
        dtype="float32",
    )
    processor = PixtralProcessor(
        PixtralImageProcessor(size={"longest_edge": LONGEST}, patch_size=PATCH),
        wrapped(tokenizer),
        patch_size=PATCH,
        spatial_merge_size=MERGE,
        chat_template=chat_template(IMAGE),
    )
    return save(folder, built(Mistral3ForConditionalGeneration, config, tokenizer), processor)
