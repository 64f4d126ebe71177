"""A checkpoint with random weights on which prefill dominates even on a CPU.

Crops are those of the published models: 336 pixels, 576 tokens each, five to an image of 672 x 672, which makes 2,928
visual tokens with newlines. The decoder has 49 million parameters, so that a core needs seconds for such a prompt, and
the tower a twentieth of that, about as in LLaVA-NeXT-8B.
"""

from pathlib import Path

from evaluation.demo.checkpoint import (
    PATCH,
    CheckpointOptions,
    Size,
    build_config,
    build_processor,
    random_weights,
    write_weights,
)
from evaluation.demo.tokenizer import build_tokenizer

DESCRIPTION = "Random weights (decoder of 49 M parameters, tower of 3 M, bfloat16)"
CROP = 336
PINPOINTS = ((336, 672), (672, 336), (672, 672), (1008, 336), (336, 1008))
SIZE = Size(
    tower_hidden=192,
    tower_intermediate=768,
    tower_layers=6,
    tower_head=64,
    hidden=768,
    intermediate=2048,
    layers=8,
    head=64,
)


def write_checkpoint(folder: Path, size: Size = SIZE) -> Path:
    """Write the checkpoint where it is missing, and return its folder."""
    if (folder / "model.safetensors").exists():
        return folder
    options = CheckpointOptions(size=size, dtype="bfloat16", grid_pinpoints=PINPOINTS)
    tokenizer = build_tokenizer()
    config = build_config(options, tokenizer.get_vocab_size())
    config.vision_config.image_size = CROP
    config.image_seq_length = (CROP // PATCH) ** 2
    processor = build_processor(options, tokenizer)
    processor.image_processor.size = {"shortest_edge": CROP}
    processor.image_processor.crop_size = {"height": CROP, "width": CROP}
    folder.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(folder)
    processor.save_pretrained(folder)
    write_weights(folder / "model.safetensors", random_weights(config, tokenizer, seed=0), options.dtype)
    return folder
