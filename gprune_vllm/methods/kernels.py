"""Triton kernels of searches that choose tokens one by one: a program for each group, and no launch for each token.

Each gives the indices of the loop in torch that it stands for, bit for bit: products, minima and comparisons of single
float32 values round alike everywhere.
"""

from importlib.util import find_spec

import torch
from torch import Tensor

if find_spec("triton"):
    import triton
    import triton.language as tl

_LANES_PER_WARP = 512
"""Values that a warp holds, 16 a thread. Fewer warps wait less for one another, and do more each."""


def runs_on(device: torch.device) -> bool:
    """Whether the kernels run on a device: on a GPU, where Triton is installed."""
    return device.type == "cuda" and find_spec("triton") is not None


def suppress(scores: Tensor, shares: Tensor, columns: int, keep: int) -> Tensor:
    """Do what `gprune_vllm.methods.gprune_nms.suppress` does in one kernel.

    Args:
        scores: `[..., num_tokens]`, float32, not negative.
        shares: `[..., num_tokens, window]`, float32.
        columns: tokens in a row.

    Returns:
        `[..., keep]` int64 indices in the order of choice.
    """
    order = torch.empty(*scores.shape[:-1], keep, dtype=torch.int64, device=scores.device)
    num_tokens, window = shares.shape[-2:]
    radius = (round(window**0.5) - 1) // 2
    block, warps = _block(num_tokens)
    _suppress[(order.numel() // keep,)](
        scores.contiguous(), shares.contiguous(), order, num_tokens, columns, radius, keep, block, num_warps=warps
    )
    return order


def spread(distance: Tensor, first: Tensor, keep: int) -> Tensor:
    """Do what `gprune_vllm.methods.divprune.spread` does in one kernel.

    Args:
        distance: `[..., num_tokens, num_tokens]`, float32.
        first: `[..., 1]` int64.

    Returns:
        `[..., keep]` int64 indices in the order of choice.
    """
    order = torch.empty(*first.shape[:-1], keep, dtype=torch.int64, device=distance.device)
    block, warps = _block(distance.shape[-1])
    _spread[(first.numel(),)](
        distance.contiguous(), first.contiguous(), order, distance.shape[-1], keep, block, num_warps=warps
    )
    return order


def _block(num_tokens: int) -> tuple[int, int]:
    """Lanes that hold a value of each token, and the warps that share them."""
    block = max(32, triton.next_power_of_2(num_tokens))
    return block, min(32, max(1, block // _LANES_PER_WARP))


if find_spec("triton"):

    @triton.jit
    def _first_of_largest(values, places, num_tokens):  # type: ignore[no-untyped-def]
        largest = tl.max(values, axis=0)
        # Nothing equals NaN: where features have none but NaN, the last token is taken over and over.
        return tl.min(tl.where(values == largest, places, num_tokens - 1), axis=0)

    @triton.jit(do_not_specialize=("num_tokens", "columns", "radius", "keep"))  # or each would be compiled anew
    def _suppress(  # type: ignore[no-untyped-def]
        scores, shares, order, num_tokens, columns, radius, keep, BLOCK: tl.constexpr
    ):
        group = tl.program_id(0).to(tl.int64)
        place = tl.arange(0, BLOCK)
        inside = place < num_tokens
        row, column = place // columns, place % columns
        side = 2 * radius + 1
        score = tl.load(scores + group * num_tokens + place, mask=inside, other=-2.0)
        for step in range(keep):
            chosen = _first_of_largest(score, place, num_tokens)
            tl.store(order + group * keep + step, chosen)
            down, across = row - chosen // columns + radius, column - chosen % columns + radius
            near = inside & (down >= 0) & (down < side) & (across >= 0) & (across < side)
            window = shares + (group * num_tokens + chosen) * side * side
            share = tl.load(window + down * side + across, mask=near, other=1.0)
            score = tl.where(place == chosen, -1.0, tl.minimum(score, score * share))

    @triton.jit(do_not_specialize=("num_tokens", "keep"))
    def _spread(distance, first, order, num_tokens, keep, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
        group = tl.program_id(0).to(tl.int64)
        place = tl.arange(0, BLOCK)
        inside = place < num_tokens
        nearest = tl.where(inside, float("inf"), -float("inf"))
        chosen = tl.load(first + group).to(tl.int32)
        for step in range(keep):
            tl.store(order + group * keep + step, chosen)
            row = tl.load(
                distance + (group * num_tokens + chosen) * num_tokens + place, mask=inside, other=-float("inf")
            )
            nearest = tl.where(place == chosen, -float("inf"), tl.minimum(nearest, row))
            chosen = _first_of_largest(nearest, place, num_tokens)
