"""A model with random weights on which prefill dominates even on a CPU.

Crops are those of the published models: 336 pixels, 576 tokens each, five to an image of 672 x 672, which makes 2,928
visual tokens with newlines. The decoder has 49 million parameters, so that a core needs seconds for such a prompt, and
the tower a twentieth of that, about as in LLaVA-NeXT-8B.
"""

from pathlib import Path

from loadtest.benchmarks.shapes import Shape, write_model

DESCRIPTION = "Random weights (decoder of 49 M parameters, tower of 3 M)"
LAYERS = 8
TOWER = {"hidden_size": 192, "intermediate_size": 768, "num_attention_heads": 3, "num_hidden_layers": 6}
DECODER = {"hidden_size": 768, "intermediate_size": 2048, "num_attention_heads": 12, "num_key_value_heads": 2}
SHAPE = Shape(TOWER | {"image_size": 336}, DECODER | {"head_dim": 64}, (672, 672))


def served(model: str | None, folder: Path) -> list[str]:
    """The words by which a server is told what to serve: this model, written to a folder, unless another is named."""
    return [model] if model else [str(write_model(folder, SHAPE, LAYERS)), "--load-format", "dummy"]
