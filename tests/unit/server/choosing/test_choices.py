"""What the operator chose is validated as a whole, and a mistake is told with its place."""

import pytest

from gprune_server.choosing.choices import Choices
from gprune_server.choosing.config_file import parse_config, parse_presets
from gprune_vllm.defaults import METHOD
from gprune_vllm.settings import PruneSettings

SETTINGS = PruneSettings(prune_methods="tome")
SERVED = {"llava", "lora"}
DIGEST = "ab" * 32


def choices(text: str, flags: frozenset[str] = frozenset(), settings: PruneSettings = SETTINGS) -> Choices:
    return Choices.of(settings, parse_config(text.encode()), SERVED, flags)


@pytest.mark.parametrize(
    "text",
    [
        "default_prune_ratio: 0.5\npresets: {fast: {prune_ratio: 0.7, prune_method: tome}}",
        '{"default_prune_ratio": 0.5, "presets": {"fast": {"prune_ratio": 0.7, "prune_method": "tome"}}}',
    ],
)
def test_yaml_and_json_are_read(text: str) -> None:
    chosen = choices(text)
    assert chosen.settings.default_prune_ratio == 0.5
    assert chosen.presets["fast"].fields == {
        "prune_ratio": 0.7,
        "visual_token_budget": None,
        "prune_method": "tome",
    }


def test_an_empty_file_leaves_everything_to_the_flags() -> None:
    assert choices("").settings == SETTINGS


def test_a_setting_that_the_file_leaves_out_is_that_of_its_flag() -> None:
    chosen = choices("default_prune_ratio: 0.5", frozenset({"max_prune_ratio"}), PruneSettings(max_prune_ratio=0.8))
    assert (chosen.settings.default_prune_ratio, chosen.settings.max_prune_ratio) == (0.5, 0.8)


def test_a_tenant_has_the_servers_settings_but_for_its_own() -> None:
    chosen = choices(
        f"""
        prune_policy: adaptive
        max_prune_ratio: 0.9
        tenants:
          acme: {{key_sha256: [{DIGEST}], default_prune_ratio: 0.3, max_prune_ratio: 0.4, prune_method: tome}}
          free: {{}}
        """
    )
    acme = chosen.tenants["acme"]
    assert (acme.default_prune_ratio, acme.max_prune_ratio, acme.prune_method) == (0.3, 0.4, "tome")
    assert acme.prune_policy == "fixed"
    assert acme.methods == ("tome", METHOD), "those of the server"
    assert chosen.tenants["free"].methods == chosen.settings.methods
    assert chosen.keys == {DIGEST: "acme"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[", "cannot be read as YAML or JSON"),
        ("- fast", "the file: "),
        ("default: 0.5", "default: Extra inputs are not permitted"),
        ("default_prune_ratio: 7", "default_prune_ratio: Input should be less than 1"),
        ("default_prune_ratio: 0.9\nmax_prune_ratio: 0.5", "--default-prune-ratio 0.9 is above --max-prune-ratio 0.5"),
        ("prune_policy: adaptive\ndefault_prune_ratio: 0.5", "does not go with --prune-policy adaptive"),
        ("prune_method: tome", "prune_method: Extra inputs"),
        ("presets: {fast: {prune_ratio: 7}}", r"presets.fast: prune_ratio must be a number in \[0, 1\)"),
        ("max_prune_ratio: 0.5\npresets: {fast: {prune_ratio: 0.9}}", "presets.fast: prune_ratio 0.9 is above"),
        ("presets: {fast: {prune_ratio: 0.5, visual_token_budget: 9}}", "presets.fast: .* exclude each other"),
        ("presets: {fast: {prune_method: random}}", "presets.fast: prune_method 'random' is not enabled"),
        ("presets: {fast: {ratio: 0.5}}", "presets.fast.ratio: Extra inputs are not permitted"),
        ("presets: {llava: {prune_ratio: 0.5}}", "presets.llava: This is the name of a served model"),
        ("presets: {fast: {model: other}}", "presets.fast: The model other is not served"),
        ("tenants: {acme: {default_prune_ratio: 0.5, max_prune_ratio: 0.4}}", "tenants.acme: .* is above"),
        ("tenants: {acme: {prune_methods: random}}", "tenants.acme: The method random is not enabled"),
        ("tenants: {acme: {key_sha256: [secret]}}", "tenants.acme.key_sha256.0: String should match"),
        ("tenants: {'a b': {}}", "tenants.a b.*: String should match"),
        ("tenants: {other: {}}", "tenants.other: This is the label of senders"),
        (f"tenants: {{a: {{key_sha256: [{DIGEST}]}}, b: {{key_sha256: [{DIGEST}]}}}}", "tenants.b: a has the same key"),
        ("max_prune_ratio: 0.5\ncanary: {ratio: 0.7, fraction: 0.1}", "canary: prune_ratio 0.7 is above"),
        ("canary: {ratio: 0.7, fraction: 2}", "canary.fraction: Input should be less than or equal to 1"),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        choices(text)


def test_what_a_flag_sets_the_file_must_not_set() -> None:
    with pytest.raises(ValueError, match=r"max_prune_ratio: --max-prune-ratio .* sets it too. Remove one"):
        choices("max_prune_ratio: 0.5", frozenset({"max_prune_ratio"}))


def test_a_file_of_presets_holds_nothing_else() -> None:
    assert parse_presets(b"fast: {prune_ratio: 0.7}")["fast"].prune_ratio == 0.7
    with pytest.raises(ValueError, match="the file: "):
        parse_presets(b"")
