"""Registration with vLLM."""

import logging
import subprocess
import sys
from importlib.metadata import entry_points

import pytest
import vllm
from vllm.model_executor.models import ModelRegistry
from vllm.model_executor.models import config as vllm_config
from vllm.model_executor.models.config import VerifyAndUpdateConfig

from gprune_vllm.adapter.config import PruningConfig
from gprune_vllm.families import MODELS, family_of
from gprune_vllm.plugin import OVERRIDE, register

ARCHITECTURE = "LlavaNextForConditionalGeneration"


@pytest.fixture(autouse=True)
def registries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registries of which nothing outlives the test."""
    monkeypatch.setattr(ModelRegistry, "models", dict(ModelRegistry.models))
    monkeypatch.setattr(vllm_config, "MODELS_CONFIG_MAP", dict(vllm_config.MODELS_CONFIG_MAP))


@pytest.mark.parametrize("architecture", MODELS)
def test_a_supported_model_becomes_the_pruning_one(architecture: str) -> None:
    upstream = ModelRegistry.models[architecture]
    register()
    registered = ModelRegistry.models[architecture]
    assert registered is not upstream
    module, name = MODELS[architecture].split(":")
    assert (registered.module_name, registered.class_name) == (f"gprune_vllm.families.{module}", name)
    hook = vllm_config.MODELS_CONFIG_MAP[architecture]
    assert issubclass(hook, PruningConfig)
    assert hook.architecture == architecture
    model = registered.load_model_cls()
    assert issubclass(model, upstream.load_model_cls())
    assert model.family is family_of(architecture)


def test_vllms_own_hook_of_an_architecture_is_kept() -> None:
    class Own(VerifyAndUpdateConfig):
        """Stands in for a hook of vLLM's."""

    vllm_config.MODELS_CONFIG_MAP[ARCHITECTURE] = Own
    register()
    register()
    assert vllm_config.MODELS_CONFIG_MAP[ARCHITECTURE].upstream is Own


def test_registering_again_changes_nothing() -> None:
    register()
    before = dict(ModelRegistry.models), dict(vllm_config.MODELS_CONFIG_MAP)
    register()
    assert (ModelRegistry.models, vllm_config.MODELS_CONFIG_MAP) == before


def test_other_architectures_are_not_touched() -> None:
    models, configs = dict(ModelRegistry.models), dict(vllm_config.MODELS_CONFIG_MAP)
    register()
    assert set(models) == set(ModelRegistry.models)
    assert all(ModelRegistry.models[name] is model for name, model in models.items() if name not in MODELS)
    assert {name for name in vllm_config.MODELS_CONFIG_MAP if name not in configs} <= {*MODELS}
    assert all(vllm_config.MODELS_CONFIG_MAP[name] is hook for name, hook in configs.items() if name not in MODELS)


def test_registering_does_not_import_the_model() -> None:
    code = (
        "import sys\n"
        "from gprune_vllm.plugin import register\n"
        "register()\n"
        "print(*[name for name in sys.modules if name.startswith(('gprune_vllm.', 'vllm.model_executor.models.'))])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = result.stdout.splitlines()[-1].split()
    assert "gprune_vllm.plugin" in loaded
    assert not {
        "gprune_vllm.families.llava_next",
        "gprune_vllm.adapter.processor",
        "vllm.model_executor.models.llava_next",
    } & set(loaded)


OTHERS = ["0.31.9", "0.34.0", "1.0", "0.320.0", "dev"]


@pytest.mark.parametrize("version", OTHERS)
def test_another_vllm_is_refused_where_gprune_is_named(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = ModelRegistry.models[ARCHITECTURE]
    monkeypatch.setattr(vllm, "__version__", version)
    monkeypatch.setenv("VLLM_PLUGINS", "other,gprune")
    with pytest.raises(RuntimeError, match=rf"supports vLLM 0\.32\.x, but this is vLLM {version}\. .*VLLM_PLUGINS"):
        register()
    assert ModelRegistry.models[ARCHITECTURE] is before


@pytest.mark.parametrize("version", OTHERS)
def test_another_vllm_is_left_alone_where_gprune_is_not_named(
    version: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before = ModelRegistry.models[ARCHITECTURE]
    monkeypatch.setattr(vllm, "__version__", version)
    monkeypatch.delenv("VLLM_PLUGINS", raising=False)
    monkeypatch.setattr(logging.getLogger("vllm"), "propagate", True)
    with caplog.at_level("WARNING", "vllm"):
        register()
    assert ModelRegistry.models[ARCHITECTURE] is before
    assert f"this is vLLM {version}. Nothing is pruned." in caplog.text


@pytest.mark.parametrize("named", ["gprune", None])
def test_the_stubborn_may_try_another_vllm(
    named: str | None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(vllm, "__version__", "0.34.0")
    monkeypatch.setenv(OVERRIDE, "1")
    if named:
        monkeypatch.setenv("VLLM_PLUGINS", named)
    else:
        monkeypatch.delenv("VLLM_PLUGINS", raising=False)
    monkeypatch.setattr(logging.getLogger("vllm"), "propagate", True)
    with caplog.at_level("WARNING", "vllm"):
        register()
    assert ModelRegistry.models[ARCHITECTURE].module_name == "gprune_vllm.families.llava_next"
    assert f"{OVERRIDE}=1" in caplog.text


@pytest.mark.parametrize("version", ["0.32.0", "0.32.1", "0.32.0+cpu", "0.32.1rc1"])
def test_every_build_of_the_supported_vllm_is_accepted(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vllm, "__version__", version)
    register()
    assert ModelRegistry.models[ARCHITECTURE].module_name == "gprune_vllm.families.llava_next"


def test_the_next_vllm_is_tried_and_said_to_be_experimental(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(vllm, "__version__", "0.33.0")
    monkeypatch.setattr(logging.getLogger("vllm"), "propagate", True)
    with caplog.at_level("WARNING", "vllm"):
        register()
    assert ModelRegistry.models[ARCHITECTURE].module_name == "gprune_vllm.families.llava_next"
    assert "experimental with vLLM 0.33" in caplog.text


def test_vllm_finds_the_plugin_by_its_name() -> None:
    (plugin,) = entry_points(group="vllm.general_plugins", name="gprune")
    assert plugin.load() is register
