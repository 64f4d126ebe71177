"""What start-up stores, and what it refuses."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from transformers import Qwen3VLConfig
from vllm.config.multimodal import MultiModalConfig
from vllm.transformers_utils.config import mrope_num_dims, uses_mrope

from gprune_vllm.adapter import config
from gprune_vllm.adapter.config import SETTINGS_ATTRIBUTE, WORKER_EXTENSION, PruningConfig, settings_of
from gprune_vllm.adapter.family import Family
from gprune_vllm.defaults import METHOD
from gprune_vllm.families.llava_next import LlavaNext
from gprune_vllm.settings import PruneSettings
from tests.unit.gprune_vllm.support import METHOD_NAMES, SMALL, Geometry

PARALLEL = {
    "distributed_executor_backend": "uni",
    "pipeline_parallel_size": 1,
    "tensor_parallel_size": 1,
    "use_ubatching": False,
    "worker_extension_cls": "",
}
SIGLIP = Geometry(SMALL.crop_size, SMALL.patch_size, SMALL.pinpoints, "siglip")
HOOK = PruningConfig.of("LlavaNextForConditionalGeneration", None)
QWEN = PruningConfig.of("Qwen3VLForConditionalGeneration", None)
Hook = type[PruningConfig]
pytestmark = pytest.mark.usefixtures("no_settings")


def verified(hf_config: Any, processor_kwargs: dict[str, Any] | None = None, hook: Hook = HOOK) -> Any:
    """The configuration after vLLM's first hook, which sees the model alone."""
    multimodal_config = SimpleNamespace(mm_processor_kwargs=processor_kwargs)
    model_config: Any = SimpleNamespace(hf_config=hf_config, multimodal_config=multimodal_config)
    hook.verify_and_update_model_config(model_config)
    return hf_config


def verify_engine(
    positions: str = "original",
    speculation: str | None = None,
    transfer: str | None = None,
    hook: Hook = HOOK,
    stage: str = "vision",
    multimodal: MultiModalConfig | None = None,
    second_runner: bool = False,
    **parallel: Any,
) -> Any:
    """vLLM's second hook, which sees the whole engine; what it leaves of the parallel configuration."""
    settings = PruneSettings(prune_positions=positions, prune_stage=stage)
    engine: Any = SimpleNamespace(
        model_config=SimpleNamespace(
            hf_config=SimpleNamespace(gprune_settings=settings.model_dump()),
            get_multimodal_config=lambda: multimodal or MultiModalConfig(),
        ),
        use_v2_model_runner=second_runner,
        speculative_config=SimpleNamespace(method=speculation) if speculation else None,
        parallel_config=SimpleNamespace(**PARALLEL | parallel),
        ec_transfer_config=transfer,
        ec_manager_config=SimpleNamespace(encoder_cache_manager_cls=None),
    )
    hook.verify_and_update_config(engine)
    return engine.parallel_config


@pytest.mark.parametrize(("named", "expected"), [("", WORKER_EXTENSION), ("their.Extension", "their.Extension")])
def test_workers_show_their_selection_unless_extended_otherwise(named: str, expected: str) -> None:
    assert verify_engine("original", worker_extension_cls=named).worker_extension_cls == expected


def test_the_extension_is_where_it_is_said_to_be() -> None:
    from vllm.utils.import_utils import resolve_obj_by_qualname

    assert callable(resolve_obj_by_qualname(WORKER_EXTENSION).gprune_inspect)


@pytest.mark.parametrize("geometry", [SMALL, SIGLIP], ids=["CLIP", "SigLIP"])
def test_settings_travel_on_the_configuration(geometry: Geometry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPRUNE_DEFAULT_PRUNE_RATIO", "0.5")
    monkeypatch.setenv("GPRUNE_PRUNE_TEMPERATURE", "none")
    monkeypatch.setenv("GPRUNE_PRUNE_METHODS", "tome, random,tome")
    settings = settings_of(verified(geometry.config()))
    expected = {"default_prune_ratio": 0.5, "prune_temperature": None, "prune_methods": "tome, random,tome"}
    assert settings == PruneSettings(**expected)
    assert settings.methods == (METHOD, "tome", "random")


@pytest.mark.parametrize(("hook", "own"), [(HOOK, 0.5), (QWEN, 0.7)], ids=["LLaVA-NeXT", "Qwen"])
def test_a_threshold_is_that_of_the_operator_or_else_of_the_family(
    hook: Hook, own: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = SMALL.config() if hook is HOOK else Qwen3VLConfig()
    assert settings_of(verified(config, hook=hook)).prune_threshold == own
    monkeypatch.setenv("GPRUNE_PRUNE_THRESHOLD", "0.5")
    assert settings_of(verified(config, hook=hook)).prune_threshold == 0.5


def test_all_methods_are_spelled_out_for_every_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPRUNE_PRUNE_METHODS", "all")
    monkeypatch.setenv("GPRUNE_PRUNE_METHOD", "tome")
    settings = settings_of(verified(SMALL.config()))
    assert settings.methods == ("tome", *(name for name in METHOD_NAMES if name != "tome"))


def test_settings_once_stored_do_not_follow_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPRUNE_PRUNE_TEMPERATURE", "none")
    config = verified(SMALL.config())
    for field in PruneSettings.model_fields:
        monkeypatch.setenv(f"GPRUNE_{field.upper()}", "0.25" if "ratio" in field else "invalid")
    assert settings_of(config).default_prune_ratio == 0
    assert settings_of(config).max_prune_ratio is None
    assert settings_of(config).prune_temperature is None


def test_original_positions_declare_mrope_on_the_top_level_alone() -> None:
    config = verified(SMALL.config())
    assert uses_mrope(config)
    assert mrope_num_dims(config) == 3
    assert not uses_mrope(config.text_config)
    assert config.text_config.to_dict() == SMALL.config().text_config.to_dict()


def test_contiguous_positions_leave_the_configuration_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPRUNE_PRUNE_POSITIONS", "contiguous")
    config = verified(SMALL.config())
    assert not uses_mrope(config)


def test_positions_of_a_model_with_mrope_of_its_own_stay_as_they_are() -> None:
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [6, 5, 5]}
    given = Qwen3VLConfig(text_config={"rope_parameters": rope})
    before = given.to_dict()
    config = verified(given, hook=QWEN)
    assert settings_of(config).prune_positions == "original"
    assert {**before, SETTINGS_ATTRIBUTE: settings_of(config).model_dump()} == config.to_dict()


def test_an_unknown_method_is_refused_with_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPRUNE_PRUNE_METHOD", "best")
    known = f"Choose one of {', '.join(METHOD_NAMES)}"
    with pytest.raises(ValueError, match=f"--prune-method 'best' is unknown\\. {known}"):
        verified(SMALL.config())
    monkeypatch.setenv("GPRUNE_PRUNE_METHOD", "all")
    with pytest.raises(ValueError, match="--prune-method 'all' is unknown"):
        verified(SMALL.config())
    monkeypatch.setenv("GPRUNE_PRUNE_METHOD", "tome")
    monkeypatch.setenv("GPRUNE_PRUNE_METHODS", "random,best")
    with pytest.raises(ValueError, match=f"--prune-methods 'best' is unknown\\. {known}"):
        verified(SMALL.config())


@pytest.mark.parametrize("flag", ["prune_method", "prune_methods"])
def test_who_wants_fastv_learns_why_no_server_has_it(flag: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"GPRUNE_{flag.upper()}", "fastv")
    with pytest.raises(ValueError, match=r"'fastv' is unknown .*paged KV cache cannot do"):
        verified(SMALL.config())


def test_an_invalid_setting_is_refused_with_its_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPRUNE_MAX_PRUNE_RATIO", "2")
    with pytest.raises(ValueError, match="--max-prune-ratio"):
        verified(SMALL.config())


@pytest.mark.parametrize(("geometry", "wrong"), [(SMALL, "full"), (SIGLIP, "default")], ids=["CLIP", "SigLIP"])
def test_a_selection_that_leaves_not_one_token_a_patch_is_refused(geometry: Geometry, wrong: str) -> None:
    config = geometry.config()
    config.vision_feature_select_strategy = wrong
    with pytest.raises(ValueError, match="--hf-overrides") as refusal:
        verified(config)
    assert f"'{wrong}'" in str(refusal.value)
    assert f'{{"vision_feature_select_strategy": "{geometry.strategy}"}}' in str(refusal.value)


class Blind(LlavaNext):
    """A family whose tower cannot be watched."""

    attention = Family.attention


def test_methods_that_need_attention_are_left_out_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "family_of", lambda architecture: Blind())
    monkeypatch.setenv("GPRUNE_PRUNE_METHODS", "all")
    blind = {name for name in METHOD_NAMES if name not in ("scope", "visionzip")}
    assert set(settings_of(verified(SMALL.config())).methods) == blind
    monkeypatch.setenv("GPRUNE_PRUNE_METHODS", "visionzip")
    with pytest.raises(ValueError, match="--prune-methods 'visionzip' is unknown"):
        verified(SMALL.config())


def test_an_unknown_tower_is_refused_with_the_known_ones() -> None:
    config = SMALL.config()
    config.vision_config.model_type = "pixtral"
    with pytest.raises(ValueError, match=r"Vision tower 'pixtral' is not supported: .* CLIP and SigLIP .*VLLM_PLUGINS"):
        verified(config)


@pytest.mark.parametrize(
    ("field", "flag"),
    [
        ("prune_ratio", "--default-prune-ratio"),
        ("visual_token_budget", "--default-prune-ratio"),
        ("prune_method", "--prune-method"),
    ],
)
def test_pruning_among_the_servers_processor_arguments_is_refused(field: str, flag: str) -> None:
    with pytest.raises(ValueError, match=rf"{field} in --mm-processor-kwargs .* Use {flag}"):
        verified(SMALL.config(), {field: 1})


def test_other_processor_arguments_are_the_operators_business() -> None:
    assert settings_of(verified(SMALL.config(), {"do_pad": True})) == PruneSettings()


OBSTACLES: list[tuple[dict[str, Any], str]] = [
    ({"pipeline_parallel_size": 2}, "--pipeline-parallel-size above 1"),
    ({"use_ubatching": True}, r"microbatching \(--enable-dbo, --ubatch-size\)"),
    ({"transfer": "any"}, "--ec-transfer-config"),
    *(
        ({"speculation": method}, "speculative decoding")
        for method in ("eagle", "eagle3", "draft_model", "medusa", "mtp")
    ),
]


@pytest.mark.parametrize(("engine", "obstacle"), OBSTACLES)
def test_what_runs_without_the_offsets_is_refused_with_the_way_out(engine: dict[str, Any], obstacle: str) -> None:
    with pytest.raises(ValueError, match=f"{obstacle}.*Start with --prune-positions contiguous"):
        verify_engine("original", **engine)


@pytest.mark.parametrize(("engine", "obstacle"), OBSTACLES)
def test_contiguous_positions_allow_it(engine: dict[str, Any], obstacle: str) -> None:
    verify_engine("contiguous", **engine)


@pytest.mark.parametrize("speculation", [None, "ngram", "ngram_gpu", "suffix"])
def test_speculation_without_a_model_is_allowed(speculation: str | None) -> None:
    verify_engine("original", speculation)


@pytest.mark.parametrize("speculation", ["eagle3", "draft_model", "mtp"])
def test_draft_models_are_allowed_in_the_second_runner(speculation: str) -> None:
    verify_engine("original", speculation, second_runner=True)


@pytest.mark.parametrize("hook", [HOOK, QWEN], ids=["LLaVA-NeXT", "Qwen"])
def test_upstreams_pruning_of_videos_is_refused_by_its_flag(hook: Hook) -> None:
    with pytest.raises(ValueError, match=r"--video-pruning-rate .* prune_ratio.*--default-prune-ratio"):
        verify_engine(hook=hook, multimodal=MultiModalConfig(video_pruning_rate=0.5))
    verify_engine(hook=hook, multimodal=MultiModalConfig(video_pruning_rate=0.0))


DIVIDED = {"multimodal": MultiModalConfig(mm_encoder_tp_mode="data"), "tensor_parallel_size": 2}


def test_a_tower_that_sees_only_some_images_cannot_score_in_it() -> None:
    with pytest.raises(ValueError, match=r"--mm-encoder-tp-mode data .*Start with --prune-stage projector"):
        verify_engine(hook=QWEN, **DIVIDED)


@pytest.mark.parametrize(
    "changed",
    [
        {"stage": "projector"},
        {"hook": HOOK},
        {"tensor_parallel_size": 1},
        {"multimodal": MultiModalConfig(mm_encoder_tp_mode="weights")},
    ],
    ids=["scored behind the tower", "LLaVA-NeXT", "one rank", "every rank sees all images"],
)
def test_where_every_rank_has_what_it_scores_the_tower_may_be_divided(changed: dict[str, Any]) -> None:
    verify_engine(**{"hook": QWEN, **DIVIDED, **changed})


def test_every_start_finds_what_the_last_one_compiled(checkpoint: Path) -> None:
    """vLLM hashes the configuration, ours included, into the key of its compilation cache."""
    code = (
        "from gprune_vllm.plugin import register\n"
        "register()\n"
        "from vllm.config import ModelConfig\n"
        f"print(ModelConfig({str(checkpoint)!r}).compute_hash())"
    )
    starts = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for _ in range(2)
    ]
    hashes = [start.communicate()[0].split()[-1] for start in starts]
    assert hashes[0] == hashes[1]
