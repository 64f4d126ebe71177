"""Several API servers of one server follow its file."""

from pathlib import Path

import httpx

from tests.support.photos import generated
from tests.support.questions import messages
from tests.support.servers import MODEL, ONE_PROCESS, Server, serve
from tests.support.waiting import wait_until

API_SERVERS = 2
REQUESTS = 20
"""Each on a connection of its own, of which any API server may take the next."""
BODY = {"model": MODEL, "messages": messages([generated(120, 90, 6)]), "max_tokens": 1}


def ratios(server: Server) -> set[float]:
    """The ratios of requests that set none."""
    answers = [httpx.post(f"{server.url}/v1/chat/completions", json=BODY, timeout=120) for _ in range(REQUESTS)]
    return {answer.json()["usage"]["visual_tokens"]["prune_ratio"] for answer in answers}


def test_all_api_servers_follow_the_file(checkpoint: Path, tmp_path: Path) -> None:
    file, log = tmp_path / "prune.yaml", tmp_path / "server.log"
    file.write_text("default_prune_ratio: 0.5")
    flags = (*ONE_PROCESS, "--api-server-count", str(API_SERVERS), "--prune-config", str(file))
    with serve(checkpoint, log, *flags) as server:
        assert ratios(server) == {0.5}
        file.write_text("default_prune_ratio: 0.7")
        wait_until(lambda: server.metrics()["gprune_config_generation"] == 2)
        assert ratios(server) == {0.7}
        file.write_text("default_prune_ratio: 7")
        wait_until(lambda: log.read_text().count("changes nothing: default_prune_ratio") == API_SERVERS)
        assert server.metrics()["gprune_config_rejected"] == 1
        assert ratios(server) == {0.7}
