"""What docs/operations.md and docs/scaling.md say is so, as far as it can be without a cluster."""

import os
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.tools import BIN, ROOT, kubectl, prune_settings, render, run
from tests.unit.deploy.kinds import kubernetes_complaints

OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
SCALING = (ROOT / "docs" / "scaling.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    """The code blocks of a language."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_files_and_headings_that_are_named_exist() -> None:
    for text in (OPERATIONS, SCALING):
        paths = re.findall(r"`((?:deploy|docs|tests)/[\w./-]+)`", text)
        links = [f"docs/{target}" for target in re.findall(r"\]\((?!http|#)([^)#]+)", text)]
        commands = re.findall(r"(?<=[ =])deploy/[\w./-]+", "\n".join(blocks(text, "console")))
        created = {"deploy/compose/.env"}
        assert [name for name in {*paths, *links, *commands} - created if not (ROOT / name).exists()] == []


def test_headings_that_are_linked_exist() -> None:
    for name, text in (("operations.md", OPERATIONS), ("scaling.md", SCALING)):
        for file, heading in re.findall(r"\]\((?!http)([^)#]*)#([^)]+)\)", text):
            titles = re.findall(r"^#+ (.*)$", (ROOT / "docs" / (file or name)).read_text(), re.MULTILINE)
            assert heading in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}, heading


def test_overlay_of_the_documentation_renders(tmp_path: Path) -> None:
    (overlay,) = blocks(OPERATIONS, "yaml")
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy", ignore=shutil.ignore_patterns("*.py"))
    (tmp_path / "cluster").mkdir()
    (tmp_path / "cluster" / "kustomization.yaml").write_text(overlay)
    objects = {each["kind"]: each for each in render(tmp_path / "cluster")}
    assert not any(kubernetes_complaints(each) for each in objects.values())
    pod = objects["Deployment"]["spec"]["template"]["spec"]["containers"][0]
    assert pod["image"].startswith("registry.example.com/gprune-vllm@sha256:")
    assert pod["envFrom"][0] == {"configMapRef": {"name": objects["ConfigMap"]["metadata"]["name"]}}
    settings = prune_settings(objects["ConfigMap"]["data"])
    assert (settings.default_prune_ratio, settings.max_prune_ratio) == (0.5, 0.9)


def test_commands_for_dashboards_and_rules_make_what_a_cluster_takes() -> None:
    """The documented pipelines, but for their last command, which sends the result to a cluster."""
    (script,) = [block for block in blocks(OPERATIONS, "console") if "configmap" in block]
    script = re.sub(r"kubectl --namespace monitoring apply( --server-side)? --filename=-", "cat; echo ---", script)
    path = f"{Path(kubectl()).parent}{os.pathsep}{os.environ['PATH']}"
    finished = run("bash", "-euo", "pipefail", "-c", script, cwd=ROOT, env={**os.environ, "PATH": path})
    assert finished.returncode == 0, finished.stdout
    dashboards, rules = (document for document in yaml.safe_load_all(finished.stdout) if document)
    assert dashboards["metadata"]["labels"] == {"grafana_dashboard": "1"}
    assert len(dashboards["data"]) == len(list((ROOT / "deploy/grafana/dashboards").glob("*.json")))
    assert rules["kind"] == "PrometheusRule"
    assert kubernetes_complaints(dashboards) == kubernetes_complaints(rules) == []


@pytest.mark.parametrize(
    "words", ["is not supported by the served model", "gprune-vllm supports vLLM", "but this is vLLM"]
)
def test_messages_in_the_troubleshooting_are_ours(words: str) -> None:
    code = [file.read_text() for room in ("gprune_vllm", "server") for file in (ROOT / room).rglob("*.py")]
    assert words in OPERATIONS
    assert any(words in text for text in code)


def test_commands_have_arguments_that_their_programs_know() -> None:
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    from gprune_server.compatibility import make_arg_parser
    from gprune_server.serve import add_settings

    commands = [shlex.split(line) for block in blocks(SCALING, "console") for line in block.splitlines()]
    parser = make_arg_parser(FlexibleArgumentParser())
    add_settings(parser)
    nodes = [parser.parse_args(arguments) for program, *arguments in commands if program == "gprune-serve"]
    assert [(node.node_rank, node.nnodes, node.headless) for node in nodes] == [(0, 2, False), (1, 2, True)]
    (router,) = [arguments for program, *arguments in commands if program == "vllm-router"]
    known = run(BIN / "vllm-router", "--help").stdout
    assert [argument for argument in router if argument.startswith("--") and f"{argument} " not in known] == []


def test_plugins_that_can_be_named_beside_exist() -> None:
    from importlib.metadata import entry_points

    (names,) = re.findall(r"`(gprune,\w+)`", SCALING)
    assert set(names.split(",")) <= {point.name for point in entry_points(group="vllm.general_plugins")}


def test_versions_agree() -> None:
    image: Any = re.findall(r"^ARG VLLM_IMAGE=(\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert set(re.findall(r"vllm/vllm-openai:\S+", OPERATIONS)) == set(image)
