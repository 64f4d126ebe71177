"""The README and the documents that it links to are true."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest
from PIL import Image, ImageChops, ImageStat

from evaluation.scenes.drawing import draw
from evaluation.scenes.scene import make_scene
from gprune_server.choosing.settings import ChoosingSettings
from gprune_server.guard.authentication import OPEN
from gprune_server.guard.limits import Limits
from gprune_server.guard.upstream_limits import MAX_IMAGES, MAX_REQUESTS
from gprune_server.shadow.settings import ShadowSettings
from gprune_vllm.defaults import METHOD
from gprune_vllm.settings import PruneSettings, flag_name
from tests.support import pool
from tests.support.image import build_wheel
from tests.support.servers import API_KEY, Server
from tests.support.tools import require

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
SETTINGS = (ROOT / "docs" / "settings.md").read_text()
SECURITY = (ROOT / "docs" / "security.md").read_text()
DESIGN = (ROOT / "docs" / "design.md").read_text()
ROOMS = r"`((?:gprune_vllm|server)/[\w/]*(?:\.py)?)`"
"""Files and folders of the code, as documents name them."""


def block(language: str) -> str:
    """Return the README's only code block of a language."""
    (text,) = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return str(text)


def commands() -> dict[str, list[str]]:
    """The README's commands and their words, without settings of variables in front of them."""
    lines = [line for text in re.findall(r"```console\n(.*?)```", README, re.DOTALL) for line in text.splitlines()]
    found = {" ".join(shlex.split(line, comments=True)): shlex.split(line, comments=True) for line in lines}
    return {line: [word for word in words if "=" not in word] for line, words in found.items()}


def run(program: str, server: Server) -> str:
    """Run the README's program in the repository and return what it prints."""
    program = program.replace("http://localhost:8000", server.url).replace('api_key="none"', f'api_key="{API_KEY}"')
    printed = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    return printed.stdout


def test_request_prints_what_the_readme_shows(demo_server: Server) -> None:
    assert commands()[".venv/bin/python ask.py"] == [".venv/bin/python", "ask.py"]
    assert run(block("python"), demo_server) == block("text")


def test_the_environment_of_the_readme_has_the_client() -> None:
    locks = [(ROOT / "scripts" / "locks" / f"{backend}.txt").read_text() for backend in ("cpu", "cuda")]
    assert all(re.search(r"^openai==", lock, re.MULTILINE) for lock in locks)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("make serve", "gprune-serve evaluation/demo/models/llava "),
        ("make serve FAMILY=qwen", "gprune-serve evaluation/demo/models/qwen "),
        ("MODEL=Qwen/Qwen3-VL-8B-Instruct make serve", "gprune-serve Qwen/Qwen3-VL-8B-Instruct "),
        ("make test", "python -m pytest"),
    ],
)
def test_targets_of_the_readme_run_what_it_says(line: str, told: str) -> None:
    assert f"{line} " in README.replace("`", " ").replace("\n", " ")
    printed = subprocess.run(
        ["bash", "-c", f"{line} --dry-run"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert told in printed.stdout


def test_installing_as_the_readme_says_brings_the_commands_and_the_plugin(tmp_path: Path) -> None:
    assert commands()["pip install ."] == ["pip", "install", "."]
    with ZipFile(build_wheel(tmp_path)) as wheel:
        (points,) = (wheel.read(name).decode() for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert "gprune-serve = gprune_server.serve:main" in points
    assert "[vllm.general_plugins]" in points


def test_every_command_of_the_readme_is_run() -> None:
    """Those above by the tests above; `vllm serve` by every test of the guarded server, which it starts."""
    serving = "VLLM_PLUGINS=gprune vllm serve Qwen/Qwen3-VL-8B-Instruct"
    assert {*commands()} == {"pip install .", serving, "make serve", "make test", ".venv/bin/python ask.py"}
    assert (pool.RECIPES[pool.GUARDED].environment or {})["VLLM_PLUGINS"] == "gprune"


def test_curl_of_the_readme_is_answered(demo_server: Server) -> None:
    require("curl")
    command = block("bash").replace("http://localhost:8000", demo_server.url)
    assert demo_server.url in command
    keyed = f"curl --silent --show-error --write-out '\n%{{http_code}}' -H 'Authorization: Bearer {API_KEY}' "
    command = command.replace("curl ", keyed, 1)
    printed = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    body, _, status = printed.stdout.rpartition("\n")
    assert status == "200", body
    visual_tokens = json.loads(body)["usage"]["visual_tokens"]
    assert visual_tokens["prune_ratio"] == 0.7
    assert 0 < visual_tokens["kept"] < visual_tokens["input"]


def test_prompt_without_pruning_has_the_length_the_readme_says(demo_server: Server) -> None:
    tokens = run(block("python").replace("0.7", "0"), demo_server).splitlines()[1].split()[0]
    assert f"the same prompt has {tokens} tokens" in README


def test_scene_of_the_readme_is_one_of_the_held_out_scenes() -> None:
    with Image.open(ROOT / "docs" / "scene.png") as image:
        difference = ImageChops.difference(image.convert("RGB"), draw(make_scene(3)))
    assert max(ImageStat.Stat(difference).mean) < 1  # another version of Pillow may smooth letters otherwise


def test_table_shows_what_was_measured() -> None:
    accuracy = json.loads((ROOT / "evaluation" / "results" / "blend.json").read_text())
    asked = {(row["method"], row["ratio"], row["task"]): row for row in accuracy}
    (speed,) = (ROOT / "loadtest" / "measured" / "serving-low").glob("*.json")
    gains = {
        row["variant"]: row["throughput_gain"]["median"]
        for row in json.loads(speed.read_text())["rows"]
        if row["result"]["arrival"] == "concurrency-8"
    }
    table = re.findall(r"^\| (\d+) % \| (\d+) \| ([\d.]+) % \| ([\d.]+) % \| ([\d.]+) x \|$", README, re.MULTILINE)
    assert [pruned for pruned, *_ in table] == ["0", "50", "70", "90"]
    for pruned, tokens, *shares, gain in table:
        ratio = int(pruned) / 100
        rows = [asked[METHOD if ratio else "none", ratio, task] for task in ("reading", "counting")]
        assert [f"{100 * row['accuracy']:.1f}" for row in rows] == shares
        assert {f"{row['visual_tokens']:.0f}" for row in rows} == {tokens}
        assert f"{gains[f'{ratio:g}']:.1f}" == gain


def test_counting_is_as_bad_as_the_readme_says() -> None:
    results = ROOT / "evaluation" / "results"
    tables = [json.loads((results / f"{name}.json").read_text()) for name in ("table1", "blend")]
    rows = [row for table in tables for row in table if row["task"] == "counting"]
    counting = {(row["method"], row["ratio"]): row["accuracy"] for row in rows}
    shown = [counting[each] for each in ((METHOD, 0.7), ("none", 0), ("gprune-nms", 0.7))]
    words = re.findall(r"counts right in (\d+) %[^%]* against (\d+) %.*counts right in (\d+) %", README, re.DOTALL)
    assert words == [tuple(str(int(100 * share + 0.5)) for share in shown)]


def default_text(default: object) -> str:
    """Return a default as a table shows it."""
    if isinstance(default, float):
        return f"{default:g}"
    return {None: "not set", False: "off", "": "not set"}.get(default, str(default))  # type: ignore[call-overload]


def test_every_setting_is_in_the_table_with_its_default() -> None:
    for name, field in PruneSettings.model_fields.items():
        assert re.search(rf"\| `{flag_name(name)}` \| `?{default_text(field.default)}`? \|", SETTINGS)


def test_table_of_settings_has_no_flag_that_does_not_exist() -> None:
    flags = re.findall(r"^\| `(--[\w-]+)` \|", SETTINGS, re.MULTILINE)
    settings = (PruneSettings, ChoosingSettings, ShadowSettings)
    assert sorted(flags) == sorted(flag_name(name) for each in settings for name in each.model_fields)


def test_every_limit_is_in_the_table_with_its_default() -> None:
    for name, field in Limits.model_fields.items():
        assert f"| `{flag_name(name)}` | {default_text(field.default)} |" in SECURITY
    assert f"| `--limit-mm-per-prompt` | {MAX_IMAGES} images" in SECURITY
    assert f"| `--max-num-queued-reqs` | {MAX_REQUESTS} |" in SECURITY


def test_open_paths_are_named() -> None:
    assert all(f"`{path}`" in SECURITY for path in OPEN if "doc" not in path and path not in ("/openapi.json",))


def test_readme_is_short() -> None:
    assert len(README.splitlines()) < 150


@pytest.mark.parametrize("name", ["README.md", "docs/settings.md", "docs/design.md", "docs/families.md"])
def test_links_lead_somewhere(name: str) -> None:
    file = ROOT / name
    for target in re.findall(r"\]\(((?!http|#)[^)]+)\)", file.read_text()):
        assert (file.parent / target.partition("#")[0]).exists(), target


def test_files_named_in_the_design_exist() -> None:
    named = set(re.findall(ROOMS, DESIGN))
    assert any(name.count("/") > 1 for name in named)
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_selector_of_the_design_notes_works() -> None:
    import torch

    from gprune_vllm import select_tokens
    from gprune_vllm.methods import registry

    (program,) = re.findall(r"```python\n(.*?)```", DESIGN, re.DOTALL)
    exec(program, {})
    try:
        features = torch.tensor([[1.0, 5.0], [2.0, 2.0], [4.0, 0.0]])
        assert select_tokens(features, 2, "brightest").index.tolist() == [0, 2]
    finally:
        del registry._METHODS["brightest"]
