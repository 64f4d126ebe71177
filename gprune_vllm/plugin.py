"""vLLM's entry point into the package."""

import os

from gprune_vllm.families import MODELS

SUPPORTED_VLLM = "0.32"
EXPERIMENTAL_VLLM = "0.33"
"""Version whose sources have all that is used of them, and that was never run: no CPU build of it exists."""
OVERRIDE = "GPRUNE_ALLOW_UNSUPPORTED_VLLM"
"""Environment variable that, set to 1, has gprune try another version of vLLM."""


def register() -> None:
    """Register the pruning models with vLLM. Lazy and idempotent: vLLM calls it in each of its processes.

    Models of other architectures are not touched. With a version of vLLM that is not supported it registers nothing,
    so that an environment that gprune shares serves its other models.

    Raises:
        RuntimeError: this version of vLLM is not supported, and `VLLM_PLUGINS` names gprune.
    """
    if not _is_supported():
        return

    from vllm.model_executor.models import ModelRegistry
    from vllm.model_executor.models.config import MODELS_CONFIG_MAP

    from gprune_vllm.adapter.config import PruningConfig

    for architecture, model in MODELS.items():
        ModelRegistry.register_model(architecture, f"gprune_vllm.families.{model}")
        upstream = MODELS_CONFIG_MAP.get(architecture)
        if upstream is None or not issubclass(upstream, PruningConfig):
            MODELS_CONFIG_MAP[architecture] = PruningConfig.of(architecture, upstream)


def _is_supported() -> bool:
    """Return whether to register with this version of vLLM. Warn if it is not the supported one."""
    import vllm
    import vllm.envs
    from vllm.logger import init_logger

    logger = init_logger(f"vllm.{__name__}")
    version = ".".join(vllm.__version__.split(".")[:2])
    if version == EXPERIMENTAL_VLLM:
        logger.warning("gprune-vllm is experimental with vLLM %s. Supported is %s.", version, SUPPORTED_VLLM)
    if version in (SUPPORTED_VLLM, EXPERIMENTAL_VLLM):
        return True
    mismatch = f"gprune-vllm supports vLLM {SUPPORTED_VLLM}.x, but this is vLLM {vllm.__version__}."
    if os.environ.get(OVERRIDE) == "1":
        logger.warning("%s %s=1 has it prune all the same.", mismatch, OVERRIDE)
        return True
    ways = f"Install vllm=={SUPPORTED_VLLM}.0, or set {OVERRIDE}=1 to try it all the same."
    if "gprune" in (vllm.envs.VLLM_PLUGINS or ()):
        raise RuntimeError(f"{mismatch} {ways} Leave gprune out of VLLM_PLUGINS to serve without pruning.")
    logger.warning("%s Nothing is pruned. %s", mismatch, ways)
    return False
