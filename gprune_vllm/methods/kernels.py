"""Triton kernels of searches that choose tokens one by one: a program for each group, and no launch for each token.

Each gives the indices of the loop in torch that it stands for, bit for bit: products, minima and comparisons of single
float32 values round alike everywhere.
"""

import logging
from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor

if find_spec("triton"):
    import triton
    import triton.language as tl

logger = logging.getLogger(f"vllm.{__name__}")

_LANES_PER_WARP = 512
"""Values that a warp holds, 16 a thread. Fewer warps wait less for one another, and do more each."""


def runs_on(device: torch.device) -> bool:
    """Whether the kernels run on a device: on a GPU, where Triton is installed and compiles them."""
    return device.type == "cuda" and find_spec("triton") is not None and work_on(device)


@cache
def work_on(device: torch.device) -> bool:
    """Whether the kernels choose what they should in a small case, the first time that a process uses a device.

    A kernel that does not compile for a GPU, or is compiled wrong, must not end an engine: the loops in torch take
    longer, and are right. This waits for the device, once.
    """
    line = torch.arange(4, device=device)  # of four tokens in a row
    try:
        shares = torch.full((4, 9), 0.1, device=device)
        suppressed = suppress(4.0 - line, torch.ones_like(shares), shares, 4, 4, 2).tolist()
        spread_out = spread((line.unsqueeze(0) - line.unsqueeze(1)).abs().float(), line[:1], 3).tolist()
    except Exception as error:  # of Triton, of a compiler, of a driver
        suppressed, spread_out = [], [str(error)]
    if right := (suppressed, spread_out) == ([0, 1, 3, 2], [0, 3, 1]):
        return right
    logger.warning("Triton's kernels fail on %s, so that selecting takes longer: %s", device, (suppressed, spread_out))
    return False


def suppress(scores: Tensor, early: Tensor, late: Tensor, columns: int, keep: int, first: int) -> Tensor:
    """Do what `gprune_vllm.methods.suppression.suppress` does in one kernel.

    Args:
        scores: `[..., num_tokens]`, float32, not negative.
        early: `[..., num_tokens, window]`, float32.
        late: the same.
        columns: tokens in a row.
        first: how many are chosen early.

    Returns:
        `[..., keep]` int64 indices in the order of choice.
    """
    order = torch.empty(*scores.shape[:-1], keep, dtype=torch.int64, device=scores.device)
    num_tokens, window = early.shape[-2:]
    radius = (round(window**0.5) - 1) // 2
    block, warps = _block(num_tokens)
    _suppress[(order.numel() // keep,)](
        *(scores.contiguous(), early.contiguous(), late.contiguous(), order),
        *(num_tokens, columns, radius, keep, first, block),
        num_warps=warps,
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

    @triton.jit(
        do_not_specialize=("num_tokens", "columns", "radius", "keep", "first")
    )  # or each would be compiled anew
    def _suppress(  # type: ignore[no-untyped-def]
        scores, early, late, order, num_tokens, columns, radius, keep, first, BLOCK: tl.constexpr
    ):
        group = tl.program_id(0).to(tl.int64)
        place = tl.arange(0, BLOCK)
        inside = place < num_tokens
        row, column = place // columns, place % columns
        side = 2 * radius + 1
        under_early = tl.load(scores + group * num_tokens + place, mask=inside, other=-2.0)
        under_late = under_early
        for step in range(keep):
            is_early = step < first
            chosen = _first_of_largest(tl.where(is_early, under_early, under_late), place, num_tokens)
            tl.store(order + group * keep + step, chosen)
            down, across = row - chosen // columns + radius, column - chosen % columns + radius
            near = inside & (down >= 0) & (down < side) & (across >= 0) & (across < side)
            window = (group * num_tokens + chosen) * side * side + down * side + across
            taken = tl.load(early + window, mask=near & is_early, other=1.0)
            under_early = tl.where(place == chosen, -1.0, tl.minimum(under_early, under_early * taken))
            taken = tl.load(late + window, mask=near, other=1.0)
            under_late = tl.where(place == chosen, -1.0, tl.minimum(under_late, under_late * taken))

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
