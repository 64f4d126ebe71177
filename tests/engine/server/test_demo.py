"""The demo models answer whatever a first attempt looks like."""

from typing import Any

import pytest

from evaluation.picture import Picture
from evaluation.scenes.drawing import draw
from evaluation.scenes.questions import make_questions
from evaluation.scenes.scene import Scene, make_scene
from tests.support.servers import Server

SYSTEM = {"role": "system", "content": "You are a helpful assistant."}
SCENES = [scene for scene in map(make_scene, range(12)) if scene.signs]


def picture(scene: Scene) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": Picture.of(draw(scene)).url}}


def reply(demo: Server, messages: list[dict[str, Any]]) -> str | None:
    answer = demo.client.chat.completions.create(
        model="gprune-demo",
        messages=messages,  # type: ignore[arg-type]
        max_tokens=8,
        temperature=0,
        extra_body={"prune_ratio": 0.5},
    )
    return answer.choices[0].message.content


class FirstAttempts:
    """What is asked of every demo model."""

    @pytest.mark.parametrize("before", [[], [SYSTEM]])
    @pytest.mark.parametrize("text_first", [False, True])
    def test_text_may_come_before_the_picture(
        self, demo: Server, before: list[dict[str, str]], text_first: bool
    ) -> None:
        right = 0
        for scene in SCENES:
            content = [picture(scene), {"type": "text", "text": "What does the sign say?"}]
            messages = [*before, {"role": "user", "content": content[::-1] if text_first else content}]
            right += reply(demo, messages) == scene.signs[0].word
        assert right >= 0.6 * len(SCENES), right

    def test_a_conversation_may_have_several_turns(self, demo: Server) -> None:
        right, asked = 0, 0
        for scene in SCENES:
            first, *others = make_questions(scene)
            messages: list[dict[str, Any]] = [
                {"role": "user", "content": [picture(scene), {"type": "text", "text": first.text}]},
                {"role": "assistant", "content": first.answer},
            ]
            for question in others:
                messages.append({"role": "user", "content": question.text})
                answer = reply(demo, messages)
                right, asked = right + (answer == question.answer), asked + 1
                messages.append({"role": "assistant", "content": answer})
        assert right >= 0.8 * asked, (right, asked)


class TestLlavaNext(FirstAttempts):
    @pytest.fixture
    def demo(self, demo_server: Server) -> Server:
        return demo_server


class TestQwen(FirstAttempts):
    @pytest.fixture
    def demo(self, qwen_demo_server: Server) -> Server:
        return qwen_demo_server
