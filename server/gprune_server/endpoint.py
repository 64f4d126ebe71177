"""vLLM's entry point into the server."""

from typing import Any


def create() -> Any:
    """Create the endpoint plugin. vLLM calls it only where `VLLM_PLUGINS` names gprune.

    Raises:
        SystemExit: the plugin cannot be imported. vLLM 0.32 logs any other error, and serves on without limits.
    """
    try:
        from gprune_server.plugin import GPruneEndpointPlugin
    except Exception as error:
        raise SystemExit(
            f"VLLM_PLUGINS names gprune, but its server cannot be loaded: {error!r}. Install gprune-vllm with its "
            "packages, or leave gprune out of VLLM_PLUGINS to serve without pruning and without its limits."
        ) from error
    return GPruneEndpointPlugin()
