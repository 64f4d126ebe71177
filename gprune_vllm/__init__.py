"""gprune-vllm: serve vision-language models on vLLM with only the visual tokens worth keeping.

Importing the package is instant and torch-free; names that need torch are loaded on first use.
"""

from typing import TYPE_CHECKING, Any

from gprune_vllm.families.anyres import plan_tokens
from gprune_vllm.plan import PruneSpec, TokenPlan

if TYPE_CHECKING:
    from gprune_vllm.methods.gprune import gprune_scores
    from gprune_vllm.methods.registry import register_merger, register_selector, select_tokens
    from gprune_vllm.methods.selection import Selection

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
    "Selection": "methods.selection",
    "gprune_scores": "methods.gprune",
    "register_merger": "methods.registry",
    "register_selector": "methods.registry",
    "select_tokens": "methods.registry",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
