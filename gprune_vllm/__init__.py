"""gprune-vllm: serve LLaVA-NeXT on vLLM with only the visual tokens worth keeping.

Importing the package is instant and torch-free; names that need torch are loaded on first use.
"""

from typing import TYPE_CHECKING, Any

from gprune_vllm.plan import PruneSpec, TokenPlan, plan_tokens

if TYPE_CHECKING:
    from gprune_vllm.graph import gprune_scores
    from gprune_vllm.selection import Selection
    from gprune_vllm.selectors import register_merger, register_selector, select_tokens

__all__ = [
    "PruneSpec",
    "Selection",
    "TokenPlan",
    "gprune_scores",
    "plan_tokens",
    "register_merger",
    "register_selector",
    "select_tokens",
]

_LAZY = {
    "Selection": "selection",
    "gprune_scores": "graph",
    "register_merger": "selectors",
    "register_selector": "selectors",
    "select_tokens": "selectors",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
