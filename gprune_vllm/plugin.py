"""vLLM's entry point into the package."""

from gprune_vllm.families import MODELS

SUPPORTED_VLLM = "0.32"


def register() -> None:
    """Register the pruning models with vLLM. Lazy and idempotent: vLLM calls it in each of its processes.

    Models of other architectures are not touched.

    Raises:
        RuntimeError: this version of vLLM is not supported.
    """
    _check_version()

    from vllm.model_executor.models import ModelRegistry
    from vllm.model_executor.models.config import MODELS_CONFIG_MAP

    from gprune_vllm.adapter.config import PruningConfig

    for architecture, model in MODELS.items():
        ModelRegistry.register_model(architecture, f"gprune_vllm.families.{model}")
        upstream = MODELS_CONFIG_MAP.get(architecture)
        if upstream is None or not issubclass(upstream, PruningConfig):
            MODELS_CONFIG_MAP[architecture] = PruningConfig.of(architecture, upstream)


def _check_version() -> None:
    import vllm

    if vllm.__version__.split(".")[:2] != SUPPORTED_VLLM.split("."):
        raise RuntimeError(
            f"gprune-vllm supports vLLM {SUPPORTED_VLLM}.x, but this is vLLM {vllm.__version__}. Install "
            f"vllm=={SUPPORTED_VLLM}.0, or leave gprune out of VLLM_PLUGINS to serve without pruning."
        )
