"""Which visual tokens stay: the registry of selection methods behind one signature."""

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from gprune_vllm.graph import gprune_scores


class Selector(Protocol):
    """A selection method.

    It is called with `features` `[..., num_tokens, hidden_size]`, `0 < keep < num_tokens` and its own options, and
    returns `[..., keep]` int64 indices along `num_tokens`, in any order, without repetition and without
    synchronising the device. Options it does not know it must ignore.
    """

    def __call__(self, features: Tensor, keep: int, **options: Any) -> Tensor: ...


_Function = TypeVar("_Function", bound=Callable[..., Tensor])
_SELECTORS: dict[str, Selector] = {}


def register_selector(name: str) -> Callable[[_Function], _Function]:
    """Register the decorated function as the method `name`, replacing an earlier one. See `Selector`."""

    def register(function: _Function) -> _Function:
        _SELECTORS[name] = function
        return function

    return register


def selector_names() -> list[str]:
    """Names of all registered methods, sorted."""
    return sorted(_SELECTORS)


def select_tokens(features: Tensor, keep: int, method: str = "gprune", **options: Any) -> Tensor:
    """Select the tokens that stay.

    Args:
        features: `[..., num_tokens, hidden_size]`, any floating dtype. Leading dimensions are independent groups.
        keep: how many tokens stay in each group.
        method: a registered name.
        options: passed on to the method.

    Returns:
        `[..., keep]` int64 indices, ascending.

    Raises:
        ValueError: `keep` is not between 0 and `num_tokens`, or the method is unknown.
    """
    num_tokens = features.shape[-2]
    if not 0 <= keep <= num_tokens:
        raise ValueError(f"keep must be between 0 and {num_tokens}, got {keep}")
    if method not in _SELECTORS:
        raise ValueError(f"unknown method {method!r}; registered are {', '.join(selector_names())}")
    if keep in (0, num_tokens):  # nothing to choose
        return torch.arange(keep, device=features.device).expand(*features.shape[:-2], keep)
    return _SELECTORS[method](features, keep, **options).sort(dim=-1).values


@register_selector("gprune")
def gprune(
    features: Tensor,
    keep: int,
    threshold: float = 0.5,
    temperature: float | None = 0.03,
    iterations: int = 5,
    **_: Any,
) -> Tensor:
    """The tokens with the largest information score. Source: arXiv 2501.02268, equation 6."""
    return gprune_scores(features, threshold, temperature, iterations).topk(keep, dim=-1).indices


@register_selector("l2norm")
def l2norm(features: Tensor, keep: int, **_: Any) -> Tensor:
    """The tokens with the largest L2 norm. Source: arXiv 2501.02268, the "L2 only" row of table 2."""
    norms: Tensor = torch.linalg.vector_norm(features.float(), dim=-1)
    return norms.topk(keep, dim=-1).indices


@register_selector("random")
def random(features: Tensor, keep: int, seed: int | None = None, **_: Any) -> Tensor:
    """Tokens drawn uniformly without replacement. Source: arXiv 2501.02268, the "Random" rows of table 1.

    The draw depends on the content only, so that an image encoded again keeps the same tokens. `seed` names the
    content where the caller knows a more stable name for it than the features' own bits.
    """
    # A filled tensor, not a copied one: copying a number to the device would wait for it.
    content = _content_seed(features) if seed is None else _mix(torch.full((), seed, device=features.device))
    ticket = torch.arange(features.shape[-2], device=features.device) + content.unsqueeze(-1)
    return _mix(ticket.expand(features.shape[:-1])).topk(keep, dim=-1).indices


def _content_seed(features: Tensor) -> Tensor:
    """A seed of each group, `[...]` int64, from the bits of `features` `[..., num_tokens, hidden_size]`."""
    bits = features.float().view(torch.int32).long().flatten(-2)  # [..., num_tokens * hidden_size]
    places = torch.arange(bits.shape[-1], device=bits.device)
    return _mix((bits * (2 * places + 1)).sum(dim=-1))


def _mix(values: Tensor) -> Tensor:
    """Scramble int64 values one to one. Source: the finaliser of SplitMix64 (Steele, Lea, Flood, 2014)."""
    values = (values ^ (values >> 30 & 0x3FFFFFFFF)) * -0x40A7B892E31B1A47
    values = (values ^ (values >> 27 & 0x1FFFFFFFFF)) * -0x6B2FB644ECCEEE15
    return values ^ (values >> 31 & 0x1FFFFFFFF)
