"""Show which tokens of an image a selection keeps, computed where the model is, as it is served."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from vllm.distributed import get_pp_group

from gprune_vllm.adapter.pruning import bands_of
from gprune_vllm.methods.gprune import gprune_scores
from gprune_vllm.plan import Group, PlannedImage

Packed = tuple[bytes, str, list[int]]
"""A tensor in a form that crosses processes: its bytes, its dtype and its shape."""


def pack(tensor: Tensor) -> Packed:
    """Pack a tensor on the CPU."""
    data = tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes()
    return data, str(tensor.dtype).removeprefix("torch."), list(tensor.shape)


def unpack(packed: Packed, device: torch.device) -> Tensor:
    """Undo `pack`."""
    data, dtype, shape = packed
    values = torch.frombuffer(bytearray(data), dtype=getattr(torch, dtype))
    return values.view(shape).to(device)


class InspectingWorker:
    """Extension of vLLM's workers (`parallel_config.worker_extension_cls`, vLLM 0.32): adds what
    `EngineClient.collective_rpc` calls to show a selection."""

    get_model: Any
    device: torch.device

    @torch.inference_mode()
    def gprune_inspect(
        self, batch: dict[str, Packed], rows: Sequence[Sequence[int]], scored: bool
    ) -> dict[str, Any] | None:
        """Run the tower over an image once, and the selection for each plan.

        Args:
            batch: what the model gets for the image alone.
            rows: of each plan, `PlannedImage.row`.
            scored: whether to return G-Prune's scores after each iteration.

        Returns:
            `kept`: for each plan, the kept tokens of each group, counted within the group; and `scores`: of each
            group, for each iteration from the initial score on, each token's score. None from ranks without a tower.
        """
        if not get_pp_group().is_first_rank:
            return None
        model, planned = self.get_model(), [PlannedImage.of(row) for row in rows]
        features, seen = model.scored(planned, **{name: unpack(each, self.device) for name, each in batch.items()})
        plan, options = planned[0].plan, model.settings.selector_options
        groups = model.family.split(features, plan)
        parts = [tokens.unflatten(0, (group.copies, -1)) for tokens, group in zip(groups, plan.groups, strict=True)]
        return {
            "kept": [_kept(model, groups, seen, image) for image in planned],
            "scores": [_scores(*part, options) for part in zip(parts, plan.groups, strict=True)] if scored else [],
        }


def _kept(model: Any, groups: Sequence[Tensor], seen: Any, image: PlannedImage) -> list[list[int]]:
    """Kept tokens of each group."""
    if not image.plan.pruned:
        return [list(range(group.tokens * group.copies)) for group in image.plan.groups]
    return [selection.index.tolist() for selection in model.select(groups, seen, image)]


def _scores(features: Tensor, group: Group, options: dict[str, Any]) -> list[list[float]]:
    """G-Prune's scores of one group after each iteration. The initial ones come before degrees count.

    Args:
        features: of its copies, `[copies, tokens, size]`.
    """
    counts = range(1, options["iterations"] + 1)
    asked = [options | {"graph": False}, *(options | {"iterations": count} for count in counts)]
    bands = [features[:, first : first + size] for first, size, _ in bands_of(group)]
    scores = [torch.cat([gprune_scores(band, **each) for band in bands], dim=1).flatten() for each in asked]
    return torch.stack(scores).tolist()
