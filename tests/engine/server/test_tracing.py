"""vLLM's request spans carry what pruning did, and the access log tells it."""

from typing import Any

from PIL import Image

from tests.support import photos
from tests.support.collector import Collector
from tests.support.questions import messages
from tests.support.servers import MODEL, Server
from tests.support.waiting import wait_until


def test_request_span_tells_ratio_and_visual_tokens(limited_server: Server, collector: Collector) -> None:
    logged = events(limited_server)
    pruned, text = (span(limited_server, collector, images) for images in ([photos.china()], []))
    assert (pruned["gprune.prune_ratio"], pruned["gprune.method"]) == (0.7, "random")
    assert (pruned["gprune.visual_tokens.input"], pruned["gprune.visual_tokens.kept"]) == (234, 77)
    assert not [name for name in text if name.startswith("gprune")]
    assert events(limited_server) == logged + 1


def span(server: Server, collector: Collector, images: list[Image.Image]) -> dict[str, Any]:
    """The attributes of a request's span."""
    body = {"model": MODEL, "messages": messages(images), "prune_ratio": 0.7, "max_tokens": 2}
    name = server.post("/v1/chat/completions", body).json()["id"]

    def found() -> list[dict[str, Any]]:
        spans = collector.attributes("llm_request")
        return [each for each in spans if str(each["gen_ai.request.id"]).startswith(name)]

    wait_until(found)
    (attributes,) = found()
    return attributes


def events(server: Server) -> int:
    """Lines of the access log."""
    return server.log.read_text().count('"event": "gprune_request"')
