"""What a selection decides about an image, for people to look at: computed where the model is, as it is served."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from vllm.distributed import get_pp_group

from gprune_vllm.families.layout import grid_index, grid_positions
from gprune_vllm.families.pruning import keep_patches
from gprune_vllm.methods.gprune import gprune_scores
from gprune_vllm.plan import PlannedImage, TokenPlan


@dataclass(frozen=True, slots=True)
class Pixels:
    """Pixels `[crops, 3, crop_size, crop_size]` in a form that crosses processes."""

    data: bytes
    dtype: str
    shape: tuple[int, ...]

    @classmethod
    def of(cls, pixels: Tensor) -> "Pixels":
        """Pack."""
        data = pixels.contiguous().flatten().view(torch.uint8).numpy().tobytes()
        return cls(data, str(pixels.dtype).removeprefix("torch."), tuple(pixels.shape))

    def tensor(self, device: torch.device) -> Tensor:
        """Unpack."""
        values = torch.frombuffer(bytearray(self.data), dtype=getattr(torch, self.dtype))
        return values.view(self.shape).to(device)  # [crops, 3, crop_size, crop_size]


class InspectingWorker:
    """Extension of vLLM's workers (`parallel_config.worker_extension_cls`, vLLM 0.32): adds what
    `EngineClient.collective_rpc` calls to show a selection."""

    get_model: Any
    device: torch.device

    @torch.inference_mode()
    def gprune_inspect(
        self, data: bytes, dtype: str, shape: Sequence[int], rows: Sequence[Sequence[int]], scored: bool
    ) -> dict[str, Any] | None:
        """Run the tower over an image once, and the selection for each plan.

        Args:
            data, dtype, shape: of `Pixels`.
            rows: of each plan, `PlannedImage.row`.
            scored: whether to tell G-Prune's scores after each iteration.

        Returns:
            `kept`: for each plan the kept patch tokens of base crop and grid, counted within each of the two; and
            `scores`: of base crop and grid, for each iteration from the initial score on, each token's. None from
            ranks that have no tower.
        """
        if not get_pp_group().is_first_rank:
            return None
        pixels, model = Pixels(data, dtype, tuple(shape)).tensor(self.device), self.get_model()
        planned = [PlannedImage.of(row) for row in rows]
        features, seen = model.selection_features(pixels, planned)
        kept = [_kept(model, features, seen, image) for image in planned]
        scores = [_scores(group, model.settings.selector_options) for group in _groups(features, planned[0].plan)]
        return {"kept": kept, "scores": scores if scored else []}


def _kept(model: Any, features: Tensor, seen: dict[str, Tensor], image: PlannedImage) -> list[list[int]]:
    """Kept patch tokens of base crop and grid."""
    plan = image.plan
    if not plan.pruned:
        return [list(range(plan.base_tokens)), list(range(plan.grid_tokens))]
    method = model.settings.methods[image.method]
    options = model.settings.selector_options
    positions = keep_patches(features, plan, method, seen, seed=image.seed, **options).positions
    base, grid = positions[: plan.base_kept], positions[plan.base_kept :]
    return [base.tolist(), torch.searchsorted(grid_positions(plan, grid.device), grid).tolist()]


def _groups(features: Tensor, plan: TokenPlan) -> list[Tensor]:
    """Features of base crop and grid, `[num_tokens, hidden_size]` each, of `[crops, patches, hidden_size]`."""
    tokens = features.flatten(0, 1)  # [crops * patches, hidden_size]
    return [tokens[: plan.base_tokens], tokens[grid_index(plan, tokens.device)]]


def _scores(features: Tensor, options: dict[str, Any]) -> list[list[float]]:
    """G-Prune's scores of one group after each iteration. The initial ones come before degrees count."""
    first = gprune_scores(features, **options, graph=False)
    counts = range(1, options["iterations"] + 1)
    others = [gprune_scores(features, **{**options, "iterations": count}) for count in counts]
    return torch.stack([first, *others]).tolist()
