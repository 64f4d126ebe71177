"""Gemma 3, which the plugin does not prune."""

from pathlib import Path

from safetensors.torch import load_file, save_file
from transformers import Gemma3Config, Gemma3ForConditionalGeneration, Gemma3ImageProcessor, Gemma3Processor

from evaluation.demo.tokenizer import chat_template
from tests.support.families.checkpoint import TEXT, built, save, tokens_with, wrapped

NAMED = {"image_token": "<image_soft_token>", "boi_token": "<start_of_image>", "eoi_token": "<end_of_image>"}
NEWLINES = ["\n" * count for count in range(1, 5)]
"""vLLM counts on these being tokens."""
PATCH, SIDE, TOKENS = 14, 56, 4
TOWER = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": PATCH,
}


def write_gemma3(folder: Path) -> Path:
    """Write a Gemma 3 of a few megabytes into a folder, and return the folder."""
    tokenizer = tokens_with(*NAMED.values(), *NEWLINES)
    ids = {name: tokenizer.token_to_id(token) for name, token in NAMED.items()}
    config = Gemma3Config(
        architectures=["Gemma3ForConditionalGeneration"],
        text_config=TEXT | {"vocab_size": tokenizer.get_vocab_size(), "sliding_window": 64},
        vision_config=TOWER,
        mm_tokens_per_image=TOKENS,
        image_token_index=ids["image_token"],
        boi_token_index=ids["boi_token"],
        eoi_token_index=ids["eoi_token"],
        tie_word_embeddings=False,
        dtype="float32",
    )
    processor = Gemma3Processor(
        Gemma3ImageProcessor(size={"height": SIDE, "width": SIDE}),
        wrapped(tokenizer, NAMED),
        chat_template=chat_template("<start_of_image>"),
        image_seq_length=TOKENS,
    )
    save(folder, built(Gemma3ForConditionalGeneration, config, tokenizer), processor)
    _name_tower_as_published(folder / "model.safetensors")
    return folder


def _name_tower_as_published(file: Path) -> None:
    """Give the tower's weights the names that published checkpoints have, and vLLM looks for."""
    tower = "vision_tower."
    weights = {name.replace(tower, f"{tower}vision_model."): weight for name, weight in load_file(file).items()}
    save_file(weights, file, {"format": "pt"})
