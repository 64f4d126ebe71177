"""The demo model answers whatever a first attempt looks like."""

import pytest

from evaluation.picture import Picture
from evaluation.scenes.drawing import draw
from evaluation.scenes.scene import Scene, make_scene
from tests.support.servers import Server

QUESTION = {"type": "text", "text": "What does the sign say?"}
SYSTEM = {"role": "system", "content": "You are a helpful assistant."}


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return [scene for scene in map(make_scene, range(8)) if scene.signs]


@pytest.mark.parametrize("before", [[], [SYSTEM]])
@pytest.mark.parametrize("text_first", [False, True])
def test_text_may_come_before_the_picture(
    demo_server: Server, scenes: list[Scene], before: list[dict[str, str]], text_first: bool
) -> None:
    right = 0
    for scene in scenes:
        picture = {"type": "image_url", "image_url": {"url": Picture.of(draw(scene)).url}}
        content = [QUESTION, picture] if text_first else [picture, QUESTION]
        messages = [*before, {"role": "user", "content": content}]
        answer = demo_server.client.chat.completions.create(
            model="gprune-demo", messages=messages, max_tokens=8, temperature=0, extra_body={"prune_ratio": 0.5}
        )
        right += answer.choices[0].message.content == scene.signs[0].word
    assert right >= len(scenes) - 1
