"""lmms-eval, the toolkit that the paper was evaluated with: its backend for servers that prune.

lmms-eval's own OpenAI backends cannot send `prune_ratio`, and score a request that failed as a wrong answer. This one
is called `gprune` there; lmms-eval finds it through the entry point in pyproject.toml.
"""

from typing import Any


def manifest() -> Any:
    """What lmms-eval's registry wants to know of the backend. Loads nothing else: all of lmms-eval's runs call it."""
    from lmms_eval.models.registry_v2 import ModelManifest  # type: ignore[import-not-found]

    return ModelManifest(model_id="gprune", simple_class_path="evaluation.lmms.backend.GPruneServer")
