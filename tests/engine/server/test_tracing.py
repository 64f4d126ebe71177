"""vLLM's request spans carry what pruning did, and the access log tells it."""

from tests.support import photos
from tests.support.collector import Collector
from tests.support.questions import ask
from tests.support.servers import Server
from tests.support.waiting import wait_until


def test_request_span_tells_ratio_and_visual_tokens(limited_server: Server, collector: Collector) -> None:
    before = len(collector.attributes("llm_request"))
    logged = events(limited_server)
    ask(limited_server, [photos.china()], 0.7, max_tokens=2)
    ask(limited_server, [], max_tokens=2)
    wait_until(lambda: len(collector.attributes("llm_request")) == before + 2)
    pruned, text = collector.attributes("llm_request")[before:]
    assert (pruned["gprune.prune_ratio"], pruned["gprune.method"]) == (0.7, "random")
    assert (pruned["gprune.visual_tokens.input"], pruned["gprune.visual_tokens.kept"]) == (234, 77)
    assert not [name for name in text if name.startswith("gprune")]
    assert events(limited_server) == logged + 1


def events(server: Server) -> int:
    """Lines of the access log."""
    return server.log.read_text().count('"event": "gprune_request"')
