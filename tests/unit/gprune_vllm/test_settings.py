"""Settings from flags and environment, and what a request gets."""

from typing import Any

import pytest
from pydantic import ValidationError

from gprune_vllm.defaults import METHOD
from gprune_vllm.plan import PruneSpec, SpecError
from gprune_vllm.settings import PruneSettings, environment_name, flag_name

CHANGED: dict[str, Any] = {
    "default_prune_ratio": 0.25,
    "max_prune_ratio": 0.75,
    "prune_method": "l2norm",
    "prune_methods": "tome,random",
    "prune_stage": "projector",
    "prune_positions": "contiguous",
    "prune_score": "ones",
    "prune_similarity": "euclidean",
    "prune_threshold": 0.25,
    "prune_temperature": 0.25,
    "prune_iterations": 7,
    "trust_image_uuids": True,
    "prune_policy": "adaptive",
    "adaptive_min_ratio": 0.25,
    "adaptive_max_ratio": 0.25,
    "adaptive_waiting_requests": 3,
    "prune_access_log": True,
    "playground": True,
}
# What requests ask for or may ask for, which cache keys name themselves, or what changes no token.
LIMITS = (
    *("default_prune_ratio", "max_prune_ratio", "prune_method", "prune_methods"),
    *("prune_policy", "adaptive_min_ratio", "adaptive_max_ratio", "adaptive_waiting_requests"),
    *("trust_image_uuids", "prune_access_log", "playground"),
)
INVALID = [
    *(("default_prune_ratio", value) for value in ("1", "-0.1", "nan", "inf", "half", "70%")),
    *(("max_prune_ratio", value) for value in ("1", "-0.1", "nan", "true")),
    *(("prune_threshold", value) for value in ("1", "-1.5", "nan", "none")),
    *(("prune_temperature", value) for value in ("0", "-1", "inf", "nan", "warm")),
    *(("prune_iterations", value) for value in ("-1", "101", "2.5", "none")),
    *(("adaptive_min_ratio", value) for value in ("1", "-0.1", "nan", "none")),
    *(("adaptive_max_ratio", value) for value in ("1", "-0.1", "nan", "none")),
    *(("adaptive_waiting_requests", value) for value in ("0", "-1", "2.5", "none")),
    ("prune_policy", "greedy"),
    ("prune_score", "l1norm"),
    ("prune_similarity", "manhattan"),
    ("prune_stage", "language"),
    ("prune_positions", "shuffled"),
]

pytestmark = pytest.mark.usefixtures("no_settings")


def test_every_field_is_covered_here() -> None:
    assert set(CHANGED) == set(PruneSettings.model_fields)


def test_defaults_prune_nothing_and_score_as_the_released_code_does() -> None:
    settings = PruneSettings.load()
    assert settings.resolve(None) == PruneSpec(0)
    assert settings.resolve(0.99) == PruneSpec(0.99)
    assert settings.prune_method == METHOD
    expected = {"threshold": 0.5, "temperature": 0.03, "iterations": 5, "score": "l2norm", "similarity": "cosine"}
    assert settings.selector_options == expected
    assert (settings.prune_stage, settings.prune_positions) == ("vision", "original")


@pytest.mark.parametrize("field", CHANGED)
def test_a_flag_and_its_environment_variable_mean_the_same(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    by_flag = PruneSettings.load(**{field: str(CHANGED[field])})
    assert by_flag == PruneSettings().model_copy(update={field: CHANGED[field]})
    monkeypatch.setenv(environment_name(field), str(CHANGED[field]))
    assert PruneSettings.load() == by_flag


@pytest.mark.parametrize("field", CHANGED)
def test_a_flag_overrides_the_environment(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(environment_name(field), str(CHANGED[field]))
    default = PruneSettings.model_fields[field].default
    assert getattr(PruneSettings.load(**{field: default}), field) == default


def test_an_empty_variable_is_as_good_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in CHANGED:
        monkeypatch.setenv(environment_name(field), "")
    assert PruneSettings.load() == PruneSettings()


def test_flags_and_variables_are_named_after_the_field() -> None:
    assert flag_name("default_prune_ratio") == "--default-prune-ratio"
    assert environment_name("default_prune_ratio") == "GPRUNE_DEFAULT_PRUNE_RATIO"


@pytest.mark.parametrize(("field", "value"), INVALID)
@pytest.mark.parametrize("source", ["flag", "environment"])
def test_an_invalid_value_is_named_with_its_flag_and_its_variable(
    field: str, value: str, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if source == "environment":
        monkeypatch.setenv(environment_name(field), value)
    with pytest.raises(ValueError, match="Input should be") as refusal:
        PruneSettings.load(**({field: value} if source == "flag" else {}))
    message = str(refusal.value)
    assert message.startswith(
        f"{flag_name(field)} (or {environment_name(field)}) is {None if value == 'none' else value!r}"
    )


def test_all_invalid_values_are_named_at_once() -> None:
    with pytest.raises(ValueError, match=r"--default-prune-ratio .*; --prune-stage .*; --prune-iterations "):
        PruneSettings.load(default_prune_ratio=2, prune_stage="late", prune_iterations=-1)


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ValueError, match="--prune-speed"):
        PruneSettings.load(prune_speed=1)


def test_a_default_above_the_limit_is_refused_with_both_flags() -> None:
    with pytest.raises(ValueError, match=r"--default-prune-ratio 0.6 is above --max-prune-ratio 0.5"):
        PruneSettings.load(default_prune_ratio=0.6, max_prune_ratio=0.5)
    assert PruneSettings.load(default_prune_ratio=0.5, max_prune_ratio=0.5).resolve(None) == PruneSpec(0.5)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ({"adaptive_min_ratio": 0.8}, "--adaptive-min-ratio 0.8 is above --adaptive-max-ratio 0.7"),
        ({"default_prune_ratio": 0.5}, "--default-prune-ratio 0.5 does not go with --prune-policy adaptive"),
        (
            {"adaptive_min_ratio": 0.5, "max_prune_ratio": 0.4},
            "--adaptive-min-ratio 0.5 is above --max-prune-ratio 0.4",
        ),
    ],
)
def test_contradictions_of_the_adaptive_policy_are_refused_with_their_flags(flags: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        PruneSettings.load(prune_policy="adaptive", **flags)


def test_the_adaptive_policy_stays_below_the_limit_of_requests() -> None:
    assert PruneSettings(prune_policy="adaptive").adaptive_limit == 0.7
    assert PruneSettings(prune_policy="adaptive", max_prune_ratio=0.5).adaptive_limit == 0.5
    assert PruneSettings(prune_policy="adaptive", max_prune_ratio=0.9).adaptive_limit == 0.7


@pytest.mark.parametrize("text", ["none", "None"])
def test_temperature_none_selects_the_papers_algorithm(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert PruneSettings.load(prune_temperature=text).prune_temperature is None
    monkeypatch.setenv("GPRUNE_PRUNE_TEMPERATURE", text)
    assert PruneSettings.load().selector_options["temperature"] is None


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        PruneSettings().prune_method = "random"


@pytest.mark.parametrize("field", CHANGED)
def test_the_fingerprint_names_what_changes_the_tokens(field: str) -> None:
    changed = PruneSettings(**{field: CHANGED[field]}).fingerprint
    assert (changed == PruneSettings().fingerprint) == (field in LIMITS)


def test_the_fingerprint_of_equal_settings_is_equal() -> None:
    assert PruneSettings(prune_threshold=0.5).fingerprint == PruneSettings.load(prune_threshold="0.50").fingerprint


def test_a_request_without_a_ratio_gets_the_default() -> None:
    settings = PruneSettings(default_prune_ratio=0.5, max_prune_ratio=0.7)
    assert settings.resolve(None) == PruneSpec(0.5)
    assert settings.resolve(0) == PruneSpec(0)
    assert settings.resolve(0.7) == PruneSpec(0.7)


def test_a_request_above_the_limit_is_refused_with_the_limit() -> None:
    with pytest.raises(ValueError, match=r"prune_ratio 0.71 is above this server's limit of 0.7 \(--max-prune-ratio\)"):
        PruneSettings(max_prune_ratio=0.7).resolve(0.71)


@pytest.mark.parametrize("ratio", [1, -0.1, True, "0.5", float("nan"), [0.5]])
def test_a_request_for_what_is_no_ratio_is_refused(ratio: object) -> None:
    with pytest.raises(ValueError, match=r"prune_ratio must be a number in \[0, 1\)"):
        PruneSettings().resolve(ratio)


def test_the_default_method_is_always_enabled_and_comes_first() -> None:
    assert PruneSettings().methods == (METHOD,)
    assert PruneSettings(prune_methods=f" tome , {METHOD},,tome").methods == (METHOD, "tome")
    assert PruneSettings(prune_method="random", prune_methods="tome").methods == ("random", "tome")


def test_all_means_every_registered_method() -> None:
    settings = PruneSettings(prune_method="b", prune_methods="all").with_methods(["a", "b", "c"])
    assert settings.methods == ("b", "a", "c")
    assert settings == settings.with_methods(["a", "b", "c"])


def test_a_request_may_name_an_enabled_method() -> None:
    settings = PruneSettings(prune_methods="tome")
    assert settings.resolve(0.5, None, "tome") == PruneSpec(0.5, method="tome")
    assert settings.resolve(0.5) == PruneSpec(0.5, method=METHOD)
    with pytest.raises(SpecError, match=f"prune_method 'random' is not enabled\\. Choose one of {METHOD}, tome"):
        settings.resolve(0.5, None, "random")


def test_a_budget_takes_the_place_of_the_default() -> None:
    assert PruneSettings(default_prune_ratio=0.5).resolve(None, 100) == PruneSpec(budget=100)
