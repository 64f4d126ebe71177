"""What exceeds a limit is refused, at every endpoint, with a 400 that says which; what only seems to is answered."""

import base64
import io
import re
from typing import Any

import httpx
import pytest
import torch
from PIL import Image

from tests.support import photos
from tests.support.questions import ask, messages, same
from tests.support.servers import MODEL, Server

SMALL, LARGE = photos.generated(64, 48), Image.new("RGB", (512, 600), "teal")
CHAT, BATCH, RESPONSES = "/v1/chat/completions", "/v1/chat/completions/batch", "/v1/responses"
COMPLETIONS, MESSAGES, TOKENIZE = "/v1/completions", "/v1/messages", "/tokenize"
LENGTH, POSITIONS, IMAGES = 2048, 4096, 16
"""The server's limits: `--max-model-len`, the checkpoint's positions, images of a prompt."""


def prompt(path: str, images: list[Image.Image], text: str = "Hi") -> dict[str, Any]:
    """The fields by which an endpoint takes one prompt."""
    if path == COMPLETIONS:
        return {"prompt": text, "max_tokens": 1}
    if path == RESPONSES:
        pictures = [{"type": "input_image", "image_url": photos.data_url(image), "detail": "auto"} for image in images]
        content = [*pictures, {"type": "input_text", "text": text}]
        return {"input": [{"role": "user", "content": content}], "max_output_tokens": 1}
    if path == MESSAGES:
        sources = [photos.data_url(image).partition(",")[2] for image in images]
        blocks = [{"type": "base64", "media_type": "image/png", "data": source} for source in sources]
        content = [*({"type": "image", "source": block} for block in blocks), {"type": "text", "text": text}]
        return {"messages": [{"role": "user", "content": content}], "max_tokens": 1}
    turns = messages(images, text)
    return {"messages": [turns] if path == BATCH else turns, "max_tokens": 1}


def refusal(answer: httpx.Response) -> str:
    """The message of a 400."""
    assert answer.status_code == 400, answer.text[:500]
    return str(answer.json()["error"]["message"])


@pytest.mark.parametrize(
    ("path", "asked"),
    [(CHAT, {"prune_ratio": 0.9}), (BATCH, {"visual_token_budget": 30}), (RESPONSES, {"visual_token_budget": 30})],
)
def test_positions_beyond_the_models(server: Server, path: str, asked: dict[str, Any]) -> None:
    answer = server.post(path, {"model": MODEL, **prompt(path, [LARGE] * 14), **asked})
    message = refusal(answer)
    assert answer.json()["error"]["param"] == next(iter(asked))
    assert f"{POSITIONS} positions" in message
    assert "fewer or smaller images" in message


@pytest.mark.parametrize("path", [CHAT, BATCH, RESPONSES, COMPLETIONS, MESSAGES])
def test_text_beyond_the_length(server: Server, path: str) -> None:
    message = refusal(server.post(path, {"model": MODEL, **prompt(path, [], "x" * (LENGTH + 1))}))
    assert str(LENGTH) in message
    assert "reduce the length" in message


@pytest.mark.parametrize("path", [CHAT, BATCH, RESPONSES, MESSAGES])
def test_images_beyond_the_length(server: Server, path: str) -> None:
    message = refusal(server.post(path, {"model": MODEL, **prompt(path, [LARGE] * 8)}))
    assert str(LENGTH) in message
    assert "Send prune_ratio 0." in message


@pytest.mark.parametrize("path", [CHAT, BATCH, RESPONSES])
def test_images_beyond_the_length_fit_when_they_are_pruned_as_the_refusal_says(server: Server, path: str) -> None:
    body = {"model": MODEL, **prompt(path, [LARGE] * 8)}
    found = re.search(
        r"prune_ratio (0\.\d+) or more, visual_token_budget (\d+) or less", refusal(server.post(path, body))
    )
    assert found is not None
    ratio, budget = float(found[1]), int(found[2])
    for fits in ({"prune_ratio": ratio}, {"visual_token_budget": budget}):
        answer = server.post(path, body | fits)
        assert answer.status_code == 200, answer.text[:500]
    for exceeds in ({"prune_ratio": round(ratio - 0.01, 2)}, {"visual_token_budget": budget + 1}):
        assert str(LENGTH) in refusal(server.post(path, body | exceeds))


@pytest.mark.parametrize("path", [CHAT, BATCH, RESPONSES])
def test_images_that_no_pruning_makes_fit(server: Server, path: str) -> None:
    answer = server.post(path, {"model": MODEL, **prompt(path, [LARGE] * 14)})
    assert "Pruning cannot make it fit" in refusal(answer)


@pytest.mark.parametrize("path", [CHAT, BATCH, RESPONSES, COMPLETIONS, MESSAGES])
def test_output_beyond_the_length(server: Server, path: str) -> None:
    limit = "max_output_tokens" if path == RESPONSES else "max_tokens"
    message = refusal(server.post(path, {"model": MODEL, **prompt(path, []), limit: LENGTH + 1}))
    assert f"={LENGTH + 1}" in message
    assert "fewer output tokens" in message


@pytest.mark.parametrize("path", [BATCH, RESPONSES, MESSAGES, TOKENIZE])
def test_more_images_than_allowed(server: Server, path: str) -> None:
    message = refusal(server.post(path, {"model": MODEL, **prompt(path, [SMALL] * (IMAGES + 1))}))
    assert f"At most {IMAGES} image" in message


@pytest.mark.parametrize("budget", [144, 145, 10**100])
def test_budgets_larger_than_the_image_keep_it_whole(server: Server, budget: int) -> None:
    whole = ask(server, [SMALL], 0)
    budgeted = ask(server, [SMALL], visual_token_budget=budget)
    assert same(budgeted, whole)
    assert budgeted.visual_tokens == (whole.visual_tokens or {}) | {"budget": budget}


@pytest.mark.parametrize("asked", [{}, {"prune_ratio": 0.5}, {"visual_token_budget": 8}])
def test_precomputed_embeddings_of_an_image(server: Server, asked: dict[str, Any]) -> None:
    part = {"type": "image_embeds", "image_embeds": embeddings()}
    body = {"model": MODEL, "messages": [{"role": "user", "content": [part]}], **asked}
    assert "--enable-mm-embeds" in refusal(server.post(CHAT, body))


def test_precomputed_embeddings_of_a_prompt(server: Server) -> None:
    body = {"model": MODEL, "prompt_embeds": embeddings(), "max_tokens": 1}
    assert "--enable-prompt-embeds" in refusal(server.post(COMPLETIONS, body))


def embeddings() -> str:
    """Embeddings of 64 tokens as clients send them."""
    buffer = io.BytesIO()
    torch.save(torch.zeros(64, 128), buffer)
    return base64.b64encode(buffer.getvalue()).decode()
