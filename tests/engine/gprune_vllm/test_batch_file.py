"""`vllm run-batch` honours or refuses the pruning fields of each line of its file."""

import json
from pathlib import Path
from typing import Any

import pytest

from gprune_server.launch import spawn
from tests.support import photos
from tests.support.questions import messages
from tests.support.servers import COMMON, MODEL, ONE_PROCESS, START_LIMIT, server_environment
from tests.support.tools import BIN

PHOTO = photos.generated(300, 200)
LINES: dict[str, dict[str, Any]] = {
    "unpruned": {},
    "pruned": {"prune_ratio": 0.5},
    "invalid": {"prune_ratio": 7},
    "contradictory": {"prune_ratio": 0.5, "visual_token_budget": 5},
    "unknown": {"prune_method": "tome"},
}
"""Pruning fields by the id of their line."""


@pytest.fixture(scope="module")
def results(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What becomes of each line."""
    folder = tmp_path_factory.mktemp("batch")
    asked, answered = folder / "asked.jsonl", folder / "answered.jsonl"
    body = {"model": MODEL, "messages": messages([PHOTO]), "max_tokens": 1}
    line = {"method": "POST", "url": "/v1/chat/completions"}
    lines = [json.dumps({**line, "custom_id": name, "body": body | fields}) for name, fields in LINES.items()]
    asked.write_text("\n".join(lines))
    command = [str(BIN / "vllm"), "run-batch", "-i", str(asked), "-o", str(answered), "--model", str(checkpoint)]
    command += [*COMMON, *ONE_PROCESS, "--trust-request-mm-kwargs"]
    runner = spawn(command, folder / "log", server_environment())
    try:
        assert runner.process.wait(START_LIMIT) == 0, runner.log.read_text()[-5000:]
    finally:
        runner.stop()
    return {each["custom_id"]: each for each in map(json.loads, answered.read_text().splitlines())}


def test_a_line_is_pruned_as_it_asks(results: dict[str, Any]) -> None:
    tokens = {name: results[name]["response"]["body"]["usage"]["prompt_tokens"] for name in ("unpruned", "pruned")}
    assert tokens["unpruned"] - tokens["pruned"] == 112  # half of 64 and of 160 patch tokens


@pytest.mark.parametrize(
    ("name", "field"),
    [("invalid", "prune_ratio"), ("contradictory", "visual_token_budget"), ("unknown", "prune_method")],
)
def test_a_line_is_refused_by_its_field(results: dict[str, Any], name: str, field: str) -> None:
    assert results[name]["response"]["status_code"] == 400
    assert results[name]["error"]["error"]["param"] == field
