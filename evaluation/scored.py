"""What G-Prune scores of a picture: the groups of tokens that each make a graph."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

from evaluation.failure import EvaluationError
from evaluation.offline import OfflineModel

Groups = Callable[[Image.Image], list[Tensor]]
"""Features of a picture's groups, `[num_tokens, hidden_size]` float32 each."""


def scored_groups(checkpoint: str) -> Groups:
    """Load a checkpoint in Transformers, in float32.

    Raises:
        EvaluationError: its architecture is not one of those below.
    """
    kind = str(AutoConfig.from_pretrained(checkpoint).model_type)
    if kind not in LOADERS:
        raise EvaluationError(f"{checkpoint} is a {kind}; graphs are measured of {', '.join(LOADERS)}")
    return LOADERS[kind](checkpoint)


def llava_next(checkpoint: str) -> Groups:
    """The base crop, and the grid without what pads it, as the projector reads them."""
    model = OfflineModel(checkpoint)

    def groups(image: Image.Image) -> list[Tensor]:
        seen = model.see(image)
        return [seen.features[0], seen.grid_features(model.plan(image))]

    return groups


def qwen_vl(checkpoint: str) -> Groups:
    """Units of 2 x 2 patches, as the merger reads them before its norm."""
    model = AutoModelForImageTextToText.from_pretrained(checkpoint, dtype=torch.float32).eval()
    process: Any = AutoProcessor.from_pretrained(checkpoint).image_processor
    tower = model.model.visual

    @torch.no_grad()
    def groups(image: Image.Image) -> list[Tensor]:
        inputs = process(image, return_tensors="pt")
        patches = tower(inputs["pixel_values"], inputs["image_grid_thw"]).last_hidden_state
        return [
            patches.reshape(-1, model.config.vision_config.spatial_merge_size**2 * patches.shape[-1])
        ]  # [units, patches * hidden_size]

    return groups


LOADERS: Mapping[str, Callable[[str], Groups]] = {"llava_next": llava_next, "qwen2_vl": qwen_vl, "qwen3_vl": qwen_vl}
"""By model type. Qwen2.5-VL's tower gives its patches in another order than its merger reads them."""
