"""Changes to vLLM's configuration, and refusals at start-up."""

import sys
from typing import TYPE_CHECKING, Any, ClassVar

from vllm.model_executor.models.config import VerifyAndUpdateConfig
from vllm.transformers_utils.config import uses_mrope

from gprune_vllm.adapter.shared_memory import check_shared_memory
from gprune_vllm.adapter.timing import create_metrics_directory
from gprune_vllm.families import family_of
from gprune_vllm.settings import PruneSettings
from gprune_vllm.termination import exit_while_starting

if TYPE_CHECKING:
    from vllm.config import ModelConfig, VllmConfig

    from gprune_vllm.adapter.family import Family

WORKER_EXTENSION = "gprune_vllm.adapter.inspection.InspectingWorker"
ENCODER_CACHE_MANAGER = "gprune_vllm.adapter.encoder_budget.TowerBudget"
SETTINGS_ATTRIBUTE = "gprune_settings"
"""Attribute of the HF configuration that carries the settings from the API process into every other process."""
BATCH_RUNNERS = ("vllm.entrypoints.launchers.run_batch", "__main__")
"""Names of the module of `vllm run-batch`, which is a script too (vLLM 0.32 and 0.33)."""

# Flags that set the default of a request's field. A server has no default budget.
_FLAGS_INSTEAD = {
    "prune_ratio": "--default-prune-ratio",
    "visual_token_budget": "--default-prune-ratio",
    "prune_method": "--prune-method",
}


class PruningConfig(VerifyAndUpdateConfig):
    """Configuration hook of an architecture that gprune prunes.

    Changes against `vllm.model_executor.models.config.VerifyAndUpdateConfig` (vLLM 0.32):
    - runs vLLM's own hook of the architecture, where there is one, first;
    - stores the validated settings on the HF configuration, which vLLM sends to all its processes;
    - makes the folder where workers write metrics;
    - declares M-RoPE on the top-level configuration of a model without it, where kept tokens keep their original
      positions: that gives each request its own position ids. The language model's configuration stays as it is, and
      so does its plain RoPE;
    - lets workers show their selection, unless the operator extends them otherwise;
    - holds each step to the tower work whose memory was profiled, unless the operator names another encoder cache
      manager;
    - lets signals end a server while it starts, from here on;
    - has the batch runner, for which vLLM has no hook, read pruning fields;
    - refuses what cannot work, by name and with the way out.

    Attributes:
        architecture: vLLM's name of it.
        upstream: vLLM's own hook.
    """

    architecture: ClassVar[str]
    upstream: ClassVar[type[VerifyAndUpdateConfig]] = VerifyAndUpdateConfig

    @classmethod
    def of(cls, architecture: str, upstream: type[VerifyAndUpdateConfig] | None) -> type["PruningConfig"]:
        """Make the hook of an architecture."""
        chained = {"architecture": architecture, "upstream": upstream or VerifyAndUpdateConfig}
        return type(f"{cls.__name__}Of{architecture}", (cls,), chained)

    @classmethod
    def verify_and_update_model_config(cls, model_config: "ModelConfig") -> None:
        exit_while_starting()
        _read_batch_files()
        cls.upstream.verify_and_update_model_config(model_config)
        family = family_of(cls.architecture)
        settings = PruneSettings.load().with_methods(_methods_of(family)).with_threshold(family.threshold)
        hf_config = model_config.hf_config
        family.check(hf_config)
        _check_processor_kwargs(model_config)
        setattr(hf_config, SETTINGS_ATTRIBUTE, settings.model_dump())
        create_metrics_directory()
        if settings.prune_positions == "original" and not uses_mrope(hf_config):
            # The numbers are never read: they only say that positions have three channels.
            hf_config.rope_parameters = {"mrope_section": [1, 1, 1]}

    @classmethod
    def verify_and_update_config(cls, vllm_config: "VllmConfig") -> None:
        cls.upstream.verify_and_update_config(vllm_config)
        check_shared_memory(vllm_config.parallel_config)
        if not vllm_config.parallel_config.worker_extension_cls:
            vllm_config.parallel_config.worker_extension_cls = WORKER_EXTENSION
        if vllm_config.ec_manager_config.encoder_cache_manager_cls is None:
            vllm_config.ec_manager_config.encoder_cache_manager_cls = ENCODER_CACHE_MANAGER
        settings = settings_of(vllm_config.model_config.hf_config)
        _check_tower(vllm_config, family_of(cls.architecture), settings)
        if settings.prune_positions == "original":
            _check_original_positions(vllm_config)


def settings_of(hf_config: Any) -> PruneSettings:
    """Return the settings that `PruningConfig` stored on an HF configuration."""
    return PruneSettings(**getattr(hf_config, SETTINGS_ATTRIBUTE))


def _read_batch_files() -> None:
    """Have the lines of a batch file read with pruning fields, if this process runs one."""
    for runner in map(sys.modules.get, BATCH_RUNNERS):
        if hasattr(runner, "BatchRequestInput"):
            from gprune_vllm.batch_file import BatchFileRequest

            runner.ChatCompletionRequest = BatchFileRequest  # type: ignore[union-attr]


def _methods_of(family: "Family") -> list[str]:
    """Registered methods that the family can run."""
    from gprune_vllm.methods.registry import needs_attention, selector_names  # torch, which registering does not need

    return [name for name in selector_names() if family.has_attention or not needs_attention(name)]


def _check_processor_kwargs(model_config: "ModelConfig") -> None:
    """Refuse pruning among the server's processor arguments: vLLM leaves those out of its cache keys."""
    multimodal_config = model_config.multimodal_config
    kwargs = (multimodal_config.mm_processor_kwargs if multimodal_config else None) or {}
    for field, flag in _FLAGS_INSTEAD.items():
        if field in kwargs:
            raise ValueError(f"{field} in --mm-processor-kwargs would corrupt caches. Use {flag} instead.")


def _check_tower(vllm_config: "VllmConfig", family: "Family", settings: PruneSettings) -> None:
    """Refuse what keeps the plugin from seeing what the tower makes of an image."""
    multimodal = vllm_config.model_config.get_multimodal_config()
    if multimodal.is_multimodal_pruning_enabled():
        raise ValueError(
            "--video-pruning-rate does not work with gprune, which prunes videos by prune_ratio. Leave it out and "
            "start with --default-prune-ratio instead."
        )
    divided = multimodal.mm_encoder_tp_mode == "data" and vllm_config.parallel_config.tensor_parallel_size > 1
    if divided and family.scored_in_tower and settings.prune_stage == "vision":
        raise ValueError(
            "--mm-encoder-tp-mode data leaves each rank with other images, so that it cannot score the tokens of all. "
            "Start with --prune-stage projector, or without --mm-encoder-tp-mode."
        )


def _check_original_positions(vllm_config: "VllmConfig") -> None:
    """Refuse what runs the language model without the first rank's position offsets."""
    speculative = vllm_config.speculative_config
    obstacles = {
        "--pipeline-parallel-size above 1": vllm_config.parallel_config.pipeline_parallel_size > 1,
        "speculative decoding with a draft model, in vLLM's first model runner (VLLM_USE_V2_MODEL_RUNNER=0),": (
            speculative is not None
            and speculative.method not in ("ngram", "ngram_gpu", "suffix")
            and not vllm_config.use_v2_model_runner
        ),
        "microbatching (--enable-dbo, --ubatch-size)": vllm_config.parallel_config.use_ubatching,
        "--ec-transfer-config": vllm_config.ec_transfer_config is not None,
    }
    for obstacle, present in obstacles.items():
        if present:
            raise ValueError(
                f"{obstacle} does not work with --prune-positions original. Start with --prune-positions contiguous."
            )
