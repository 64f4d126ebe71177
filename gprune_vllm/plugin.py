"""vLLM's entry point into the package."""

SUPPORTED_VLLM = "0.32"
ARCHITECTURE = "LlavaNextForConditionalGeneration"


def register() -> None:
    """Register the pruning LLaVA-NeXT with vLLM. Lazy and idempotent: vLLM calls it in each of its processes.

    Models of other architectures are not touched.

    Raises:
        RuntimeError: this version of vLLM is not supported.
    """
    _check_version()

    from vllm.model_executor.models import ModelRegistry
    from vllm.model_executor.models.config import MODELS_CONFIG_MAP

    from gprune_vllm.adapter.config import GPruneLlavaNextConfig

    ModelRegistry.register_model(ARCHITECTURE, "gprune_vllm.adapter.model:GPruneLlavaNextForConditionalGeneration")
    MODELS_CONFIG_MAP[ARCHITECTURE] = GPruneLlavaNextConfig


def _check_version() -> None:
    import vllm

    if vllm.__version__.split(".")[:2] != SUPPORTED_VLLM.split("."):
        raise RuntimeError(
            f"gprune-vllm supports vLLM {SUPPORTED_VLLM}.x, but this is vLLM {vllm.__version__}; install "
            f"vllm=={SUPPORTED_VLLM}.0, or leave gprune out of VLLM_PLUGINS to serve without pruning"
        )
