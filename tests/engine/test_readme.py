"""What the README says is what happens."""

import json
import re
import subprocess
import sys
from pathlib import Path

from PIL import Image, ImageChops, ImageStat

from evaluation.scenes.drawing import draw
from evaluation.scenes.scene import make_scene
from gprune_server.guard.authentication import OPEN
from gprune_server.guard.limits import Limits
from gprune_server.serve import LIMITS
from gprune_vllm.settings import PruneSettings, flag_name
from tests.support.servers import API_KEY, Server

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
SECURITY = (ROOT / "docs" / "security.md").read_text()
DESIGN = (ROOT / "docs" / "design.md").read_text()


def block(language: str) -> str:
    """The README's only code block of a language."""
    (text,) = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return str(text)


def run(program: str, server: Server) -> str:
    """What the README's program prints where the repository is."""
    program = program.replace("http://localhost:8000", server.url).replace('api_key="none"', f'api_key="{API_KEY}"')
    printed = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    return printed.stdout


def test_request_prints_what_the_readme_shows(demo_server: Server) -> None:
    assert run(block("python"), demo_server) == block("text")


def test_prompt_without_pruning_has_the_length_the_readme_says(demo_server: Server) -> None:
    tokens = run(block("python").replace("0.7", "0"), demo_server).splitlines()[1].split()[0]
    assert f"the same prompt has {tokens} tokens" in README


def test_scene_of_the_readme_is_one_of_the_held_out_scenes() -> None:
    with Image.open(ROOT / "docs" / "scene.png") as image:
        difference = ImageChops.difference(image.convert("RGB"), draw(make_scene(3)))
    assert max(ImageStat.Stat(difference).mean) < 1  # another version of Pillow may smooth letters otherwise


def test_table_shows_what_was_measured() -> None:
    measured = json.loads((ROOT / "evaluation" / "results" / "table1.json").read_text())
    reading = {(row["method"], row["ratio"]): row for row in measured if row["task"] == "reading"}
    names = ("gprune", "divprune", "l2norm", "visionzip", "tome", "random")
    table = re.findall(r"^\| (\d+) % \| (\d+) \|" + r" ([\d.]+) % \|" * len(names), README, re.MULTILINE)
    assert [pruned for pruned, *_ in table] == ["0", "50", "70", "90"]
    for pruned, tokens, *shown in table:
        rows = [reading[name if pruned != "0" else "none", int(pruned) / 100] for name in names]
        assert [f"{100 * row['accuracy']:.1f}" for row in rows] == shown
        assert {f"{row['visual_tokens']:.0f}" for row in rows} == {tokens}


def default_text(default: object) -> str:
    """A default as the table shows it."""
    if isinstance(default, float):
        return f"{default:g}"
    return {None: "none", False: "off", "": "none"}.get(default, str(default))  # type: ignore[call-overload]


def test_every_setting_is_in_the_table_with_its_default() -> None:
    for name, field in PruneSettings.model_fields.items():
        assert re.search(rf"\| `{flag_name(name)}` \| `?{default_text(field.default)}`? \|", README)


def test_every_limit_is_in_the_table_with_its_default() -> None:
    for name, field in Limits.model_fields.items():
        assert f"| `{flag_name(name)}` | {default_text(field.default)} |" in SECURITY
    assert f"| `--limit-mm-per-prompt` | {LIMITS['limit_mm_per_prompt']['image']} images" in SECURITY
    assert f"| `--max-num-queued-reqs` | {LIMITS['max_num_queued_reqs']} with" in SECURITY


def test_open_paths_are_named() -> None:
    assert all(f"`{path}`" in SECURITY for path in OPEN if "doc" not in path and path not in ("/openapi.json",))


def test_readme_is_short() -> None:
    assert len(README.splitlines()) < 150


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(((?!http)[^)]+)\)", README):
        assert (ROOT / target.partition("#")[0]).exists()


def test_files_named_in_the_design_exist() -> None:
    for name in set(re.findall(r"`((?:gprune_vllm|server)/\w+\.py)`", DESIGN)):
        assert (ROOT / name).exists()


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
