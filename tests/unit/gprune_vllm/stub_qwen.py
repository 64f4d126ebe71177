"""Our Qwen-VL classes around a stub of a tower, whose order is that of vLLM's own."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from vllm.model_executor.models.qwen2_5_vl import Qwen2_5_VisionTransformer
from vllm.utils.torch_utils import async_tensor_h2d

from gprune_vllm.adapter.config import SETTINGS_ATTRIBUTE
from gprune_vllm.adapter.inputs import PLAN_FIELDS
from gprune_vllm.adapter.mrope import MRopePruningModel
from gprune_vllm.families.qwen_vl import Qwen2_5VL, Qwen2VL, Qwen3PruningModel, Qwen3VL
from gprune_vllm.plan import Group, PlannedImage, TokenPlan
from gprune_vllm.settings import PruneSettings

PIXELS, VISION_SIZE, HIDDEN = 6, 5, 8
LEVELS = 2
"""What deeper layers read of each token of Qwen3-VL, in hidden sizes."""


class Merger(nn.Linear):
    """Joins four patches to a token."""

    def __init__(self, size: int) -> None:
        super().__init__(4 * VISION_SIZE, size)

    def forward(self, patches: Tensor) -> Tensor:
        return super().forward(patches.reshape(-1, 4 * VISION_SIZE))


class Tower(nn.Module):
    """Looks at each patch alone, token by token, or in the windows of Qwen2.5-VL."""

    spatial_merge_size, spatial_merge_unit, window_size, patch_size = 2, 4, 56, 14
    get_rope_by_thw = Qwen2_5_VisionTransformer.get_rope_by_thw
    get_window_index_thw = Qwen2_5_VisionTransformer.get_window_index_thw
    invert_permutation = staticmethod(Qwen2_5_VisionTransformer.invert_permutation)

    def __init__(self, windows: bool, size: int) -> None:
        super().__init__()
        self.windows = windows
        self._rope_by_thw_cache: dict[Any, Any] = {}
        self.patches, self.merger = nn.Linear(PIXELS, VISION_SIZE), Merger(size)

    def rotary_pos_emb_thw(self, *grid: int) -> tuple[Tensor, Tensor]:
        tokens = torch.tensor(grid).prod() // self.spatial_merge_unit
        return torch.zeros(tokens, 4, 1), torch.zeros(tokens, 4, 1)

    def order(self, grids: Sequence[Sequence[int]]) -> Tensor:
        """Which token comes where, `[tokens]` int64, on the host."""
        orders, first = [], 0
        for grid in grids:
            tokens = grid[0] * grid[1] * grid[2] // 4
            windows = self.get_rope_by_thw(*grid)[2] if self.windows else torch.arange(tokens)
            orders.append(first + windows)
            first += tokens
        return torch.cat(orders)

    def forward(self, pixels: Tensor, grids: Sequence[Sequence[int]]) -> Tensor:
        order = self.order(grids)
        there, back = (async_tensor_h2d(each, pixels.device) for each in (order, order.argsort()))
        states = self.units(pixels)[there].flatten(0, 1)  # [patches, VISION_SIZE]
        merged: Tensor = self.merger(states)[back]
        return merged

    def units(self, pixels: Tensor) -> Tensor:
        """What the merger reads of each token, `[tokens, 4, VISION_SIZE]`, row by row."""
        return torch.tanh(self.patches(pixels)).unflatten(0, (-1, 4))


class Upstream(nn.Module):
    """Stands in for vLLM's model."""

    visual: Tower

    def embed_multimodal(self, **kwargs: Any) -> Any:
        (modality,) = (name for name in PLAN_FIELDS if f"{name}_grid_thw" in kwargs)
        grids = kwargs[f"{modality}_grid_thw"].tolist()
        merged = self.visual(kwargs["pixel_values" if modality == "image" else "pixel_values_videos"], grids)
        return merged.split([grid[0] * grid[1] * grid[2] // 4 for grid in grids])


class Stub2(MRopePruningModel, Upstream):  # type: ignore[misc]
    family = Qwen2VL()


class Stub2_5(MRopePruningModel, Upstream):  # type: ignore[misc]
    family = Qwen2_5VL()


class Stub3(Qwen3PruningModel, Upstream):  # type: ignore[misc]
    family = Qwen3VL()
    visual_dim, multiscale_dim = HIDDEN, LEVELS * HIDDEN


STUBS: dict[str, Any] = {"qwen2_vl": Stub2, "qwen2_5_vl": Stub2_5, "qwen3_vl": Stub3}


def stub_qwen(name: str, device: str = "cpu", **settings: Any) -> Any:
    """Our model with what its constructor would have set, and the stubs in place of the rest."""
    torch.manual_seed(0)
    model = STUBS[name].__new__(STUBS[name])
    nn.Module.__init__(model)
    model.config = SimpleNamespace(
        vision_config=SimpleNamespace(spatial_merge_size=2, patch_size=14),
        get_text_config=lambda: SimpleNamespace(hidden_size=HIDDEN),
        **{SETTINGS_ATTRIBUTE: PruneSettings(**settings).model_dump()},
    )
    with torch.device(device):
        model.visual = Tower(name == "qwen2_5_vl", model.embedding_size)
        model.language_model = nn.Module()
        model.prepare(512)
    return model.requires_grad_(False)


def planned_media(rows: int, columns: int, frames: int, kept: int, seed: int = 0) -> PlannedImage:
    """An image or a video of so many rows and columns of tokens."""
    return PlannedImage(TokenPlan((Group(rows, columns, kept, frames),), 0, span=rows, units=1), digest=seed)


def batch_of(modality: str, planned: Sequence[PlannedImage], device: str = "cpu") -> dict[str, Any]:
    """Images or videos as vLLM batches them, of random pixels."""
    groups = [image.plan.groups[0] for image in planned]
    grids = [[group.copies, 2 * group.rows, 2 * group.columns] for group in groups]
    patches = sum(4 * group.copies * group.tokens for group in groups)
    pixels = torch.randn(patches, PIXELS, generator=torch.Generator().manual_seed(1)).to(device)
    return {
        "pixel_values" if modality == "image" else "pixel_values_videos": pixels,
        f"{modality}_grid_thw": torch.tensor(grids),
        PLAN_FIELDS[modality]: [torch.tensor(image.row()) for image in planned],
    }
