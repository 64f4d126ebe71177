"""Without pruning, the plugin serves what vLLM's own class serves."""

import pytest

from tests.support import photos
from tests.support.questions import ask, same
from tests.support.servers import Server

IMAGES = {
    "photo": [photos.china()],
    "two photos": [photos.grace_hopper(), photos.flower()],
    **{name: [image] for name, image in photos.generated_sizes().items()},
}


@pytest.mark.parametrize("name", IMAGES)
def test_ratio_zero_and_absent_equal_stock(server: Server, stock_server: Server, name: str) -> None:
    stock = ask(stock_server, IMAGES[name])
    for ratio in (None, 0, 0.0):
        ours = ask(server, IMAGES[name], ratio)
        assert same(ours, stock)
        assert ours.prompt_tokens == stock.prompt_tokens


def test_text_without_images_equals_stock(server: Server, stock_server: Server) -> None:
    assert same(ask(server, []), ask(stock_server, []))
    assert same(ask(server, [], 0.7), ask(stock_server, []))


def test_stock_server_shows_no_trace_of_the_plugin(stock_server: Server) -> None:
    assert ask(stock_server, [photos.china()]).visual_tokens is None
    assert not [name for name in stock_server.metrics() if name.startswith("gprune")]
