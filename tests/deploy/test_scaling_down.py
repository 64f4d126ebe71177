"""A server that is told to stop finishes what it has, as the manifests under deploy/ ask it to."""

import json
import signal
from pathlib import Path

import httpx

from tests import photos
from tests.questions import messages
from tests.servers import MODEL, serve

TOKENS = 400


def test_request_under_way_is_answered_to_its_end(checkpoint: Path, tmp_path: Path) -> None:
    body = {"model": MODEL, "messages": messages([photos.china()]), "prune_ratio": 0.5, "ignore_eos": True}
    body |= {"max_completion_tokens": TOKENS, "stream": True, "stream_options": {"include_usage": True}}
    with (
        serve(checkpoint, tmp_path / "server.log", "--shutdown-timeout", "60") as server,
        httpx.stream("POST", f"{server.url}/v1/chat/completions", json=body, timeout=120) as response,
    ):
        lines = (line.removeprefix("data: ") for line in response.iter_lines() if line)
        next(lines)
        server.process.send_signal(signal.SIGTERM)
        events = list(lines)
        code = server.process.wait(60)
    assert "draining in-flight requests count=1" in server.log.read_text()  # else it came too late to tell anything
    assert events[-1] == "[DONE]"
    assert json.loads(events[-2])["usage"]["completion_tokens"] == TOKENS
    assert code == 0
