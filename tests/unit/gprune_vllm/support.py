"""What several of these tests need: image geometries, and images and plans drawn from them."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Literal

import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor
from transformers import LlavaNextConfig
from transformers.models.llava_next.modeling_llava_next import LlavaNextModel

from gprune_vllm.adapter.model import PruningModel
from gprune_vllm.adapter.pruning import KeptTokens, lay_out, select_groups
from gprune_vllm.families.anyres import plan_tokens
from gprune_vllm.families.llava_next import LlavaNext
from gprune_vllm.plan import PruneSpec, TokenPlan

Size = tuple[int, int]
FAMILY = LlavaNext()

METHOD_NAMES = (
    "divprune",
    "gprune",
    "gprune-blend",
    "gprune-nms",
    "grid",
    "l2norm",
    "random",
    "scope",
    "tome",
    "visionzip",
)
"""Every method of ours; `test_selectors` sees to it that none is missing."""
METHODS = pytest.mark.parametrize("method", METHOD_NAMES)


@dataclass(frozen=True)
class Geometry:
    """How a model cuts images; pinpoints are (height, width) in pixels."""

    crop_size: int
    patch_size: int
    pinpoints: tuple[Size, ...]
    tower: Literal["clip", "siglip"] = "clip"

    @property
    def side(self) -> int:
        return self.crop_size // self.patch_size

    @property
    def pinpoint_lists(self) -> list[list[int]]:
        """As JSON has them, and as Transformers insists on."""
        return [list(pinpoint) for pinpoint in self.pinpoints]

    @property
    def strategy(self) -> str:
        return "default" if self.tower == "clip" else "full"

    def plan(self, size: Size, ratio: float = 0.0, budget: int | None = None) -> TokenPlan:
        return plan_tokens(size, self.pinpoints, self.crop_size, self.patch_size, PruneSpec(ratio, budget))

    def config(self, hidden_size: int = 8) -> LlavaNextConfig:
        return LlavaNextConfig(
            vision_config={
                "model_type": f"{self.tower}_vision_model",
                "image_size": self.crop_size,
                "patch_size": self.patch_size,
            },
            text_config={"model_type": "llama", "hidden_size": hidden_size, "num_attention_heads": 2, "vocab_size": 64},
            image_token_index=3,
            image_grid_pinpoints=self.pinpoint_lists,
            vision_feature_select_strategy=self.strategy,
        )


def crops(size: int, *shapes: Size) -> tuple[Size, ...]:
    """Pinpoints of crops of `size` pixels, by their rows and columns."""
    return tuple((rows * size, columns * size) for rows, columns in shapes)


FIVE = ((1, 2), (2, 1), (2, 2), (3, 1), (1, 3))
GEOMETRIES = {
    "llava-next": Geometry(336, 14, crops(336, *FIVE)),
    "siglip, patches that do not fill a crop": Geometry(384, 14, crops(384, *FIVE), "siglip"),
    "demo": Geometry(112, 14, crops(112, *FIVE)),
    "one crop": Geometry(336, 14, crops(336, (1, 1))),
    "36 pinpoints": Geometry(384, 14, crops(384, *((r, c) for r in range(1, 7) for c in range(1, 7))), "siglip"),
    "odd sides": Geometry(98, 14, crops(98, (1, 1), (1, 3), (3, 1), (3, 3))),
}
SMALL = Geometry(28, 7, crops(28, *FIVE))
"""4 x 4 patches a crop: the same corners as the large ones, in a hundredth of the time."""

sides = st.integers(1, 6000) | st.integers(1, 400)
sizes = st.tuples(sides, sides)
small_sizes = st.tuples(st.integers(1, 200), st.integers(1, 200))
ratios = st.floats(0, 1, exclude_max=True) | st.integers(0, 99).map(lambda percent: percent / 100)


def features_of(plan: TokenPlan, hidden_size: int = 8, seed: int = 0) -> Tensor:
    """Random features of an image's crops, `[crops, patches_per_side ** 2, hidden_size]`."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(plan.units, plan.groups[0].tokens, hidden_size, generator=generator)


def keep(
    features: Tensor, plan: TokenPlan, method: str, seen: Mapping[str, Tensor] | None = None, **options: Any
) -> KeptTokens:
    """Select an image's patches that stay, of `features` `[crops, patches, hidden_size]`."""
    of_groups = {name: FAMILY.split(values, plan) for name, values in (seen or {}).items()}
    selections = select_groups(FAMILY.split(features, plan), plan, method, of_groups, **options)
    return KeptTokens.of(selections, FAMILY.layout(plan, features.device))


def finish(kept: KeptTokens, newline: Tensor, plan: TokenPlan) -> tuple[Tensor, Tensor]:
    """Lay out kept patches with newlines: embeddings, and the offset of each."""
    layout = FAMILY.layout(plan, newline.device)
    embeddings, positions = lay_out(kept, newline.expand(plan.structural, -1), layout)
    model: Any = None  # offsets depend on the plan alone
    return embeddings, PruningModel.offsets_of(model, positions, layout, plan).squeeze(1)


def seen_of(features: Tensor) -> dict[str, Any]:
    """Attention and keys as a tower might have had for `features` `[..., num_tokens, hidden_size]`: token by token."""
    features = features.float()
    return {"attention": (3 * features).sin().sum(dim=-1).sigmoid(), "keys": features[..., :2].cos() - 0.5}


def transformers_layout(features: Tensor, size: Size, newline: Tensor, geometry: Geometry) -> Tensor:
    """The unpruned sequence of an image's visual tokens, as Transformers lays it out, `[input, hidden_size]`."""
    model = SimpleNamespace(config=geometry.config())
    packed, _ = LlavaNextModel.pack_image_features(model, [features], [size], geometry.strategy, newline)
    sequence: Tensor = packed[0]
    return sequence
