"""Which visual tokens stay: the registry of selection methods behind one signature."""

from collections.abc import Callable
from dataclasses import dataclass
from inspect import signature
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor

from gprune_vllm.methods.selection import Selection


class Selector(Protocol):
    """A selection method that keeps tokens as they are.

    It is called with `features` `[..., num_tokens, hidden_size]`, `0 < keep < num_tokens` and its own options, and
    returns `[..., keep]` int64 indices along `num_tokens`, in any order, without repetition and without
    synchronising the device. Options it does not know it must ignore. A server passes its settings of the graph,
    `seed`, a number that names the image's content, and `shape`, the rows and columns of the tokens, row by row.
    """

    def __call__(self, features: Tensor, keep: int, **options: Any) -> Tensor: ...


class Merger(Protocol):
    """A selection method that changes the tokens it keeps. It is called as a `Selector` is, under the same promises."""

    def __call__(self, features: Tensor, keep: int, **options: Any) -> Selection: ...


@dataclass(frozen=True, slots=True)
class _Method:
    select: Callable[..., Selection]
    needs: tuple[str, ...]
    needs_attention: bool
    merges: bool


_Function = TypeVar("_Function", bound=Callable[..., Any])
_METHODS: dict[str, _Method] = {}


def register_selector(name: str, needs_attention: bool = False) -> Callable[[_Function], _Function]:
    """Register the decorated function as the method `name`, replacing an earlier one. See `Selector`.

    Args:
        needs_attention: whether to call it with the options `attention` and `keys` of `gprune_vllm.methods.visionzip`.
    """

    def register(function: _Function) -> _Function:
        def select(features: Tensor, keep: int, **options: Any) -> Selection:
            return Selection.of(features, function(features, keep, **options))

        _METHODS[name] = _Method(select, _required(function), needs_attention, merges=False)
        return function

    return register


def register_merger(name: str, needs_attention: bool = False) -> Callable[[_Function], _Function]:
    """Register the decorated function as the method `name`, as `register_selector` does. See `Merger`."""

    def register(function: _Function) -> _Function:
        def select(features: Tensor, keep: int, **options: Any) -> Selection:
            merged: Selection = function(features, keep, **options)
            return merged.ordered()

        _METHODS[name] = _Method(select, _required(function), needs_attention, merges=True)
        return function

    return register


def _required(function: Callable[..., Any]) -> tuple[str, ...]:
    """Names of the options that a method cannot do without: its keyword arguments that have no default."""
    options = signature(function).parameters.values()
    return tuple(
        option.name for option in options if option.kind is option.KEYWORD_ONLY and option.default is option.empty
    )


def selector_names() -> list[str]:
    """Names of all registered methods, sorted."""
    return sorted(_METHODS)


def needs_attention(method: str) -> bool:
    """Whether a registered method wants to know what the vision tower attends to."""
    return _METHODS[method].needs_attention


def merges(method: str) -> bool:
    """Whether a registered method changes the tokens it keeps."""
    return _METHODS[method].merges


def select_tokens(features: Tensor, keep: int, method: str = "gprune", **options: Any) -> Selection:
    """Select the tokens that stay.

    Args:
        features: `[..., num_tokens, hidden_size]`, any floating dtype. Leading dimensions are independent groups.
        keep: how many tokens stay in each group.
        method: a registered name.
        options: passed on to the method.

    Returns:
        `keep` tokens of each group, by ascending index.

    Raises:
        ValueError: `keep` is out of range, the method is not registered, or it lacks an option it needs.
    """
    num_tokens = features.shape[-2]
    if not 0 <= keep <= num_tokens:
        raise ValueError(f"keep must be between 0 and {num_tokens}, got {keep}")
    if method not in _METHODS:
        raise ValueError(f"unknown method {method!r}; registered are {', '.join(selector_names())}")
    if keep in (0, num_tokens):  # nothing to choose
        index = torch.arange(keep, device=features.device).expand(*features.shape[:-2], keep)
        return Selection(features[..., :keep, :], index)
    if missing := [name for name in _METHODS[method].needs if options.get(name) is None]:
        raise ValueError(f"method {method!r} needs the option {missing[0]!r}")
    return _METHODS[method].select(features, keep, **options)
