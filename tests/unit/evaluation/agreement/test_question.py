"""Questions come from pictures and lines, or from a log of requests."""

import json
from pathlib import Path
from typing import Any

import pytest

from evaluation.agreement.question import GENERAL, of_log, of_pictures
from evaluation.failure import EvaluationError
from tests.support.photos import generated

PICTURE = {"type": "image_url", "image_url": {"url": "data:,"}}
CHAT = {"messages": [{"role": "user", "content": [PICTURE, {"type": "text", "text": "What?"}]}]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "more").mkdir()
    generated(40, 30).save(tmp_path / "a.png")
    generated(30, 40).save(tmp_path / "more" / "b.JPG", format="JPEG")
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def test_each_picture_is_asked_about_in_each_line(folder: Path) -> None:
    (folder / "questions").write_text("What is it?\n\n  Where?  \n")
    questions = of_pictures(folder, folder / "questions")
    assert [question.about for question in questions] == ["a.png", "a.png", "more/b.JPG", "more/b.JPG"]
    assert [question.messages[0]["content"][1]["text"] for question in questions] == ["What is it?", "Where?"] * 2
    assert len({question.digest for question in questions}) == 4


def test_without_questions_general_ones_are_asked(folder: Path) -> None:
    assert len(of_pictures(folder, None)) == 2 * len(GENERAL)


def test_a_log_gives_its_chats_with_images(tmp_path: Path) -> None:
    lines: list[Any] = [CHAT, {"messages": [{"role": "user", "content": "Hi"}]}, {"custom_id": "1", "body": CHAT}, 3]
    (tmp_path / "log").write_text("\n".join(map(json.dumps, lines)) + "\n\n")
    assert [question.about for question in of_log(tmp_path / "log")] == ["line 1", "line 3"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [("log", "{", "line 1: this is not JSON"), ("log", "{}", "has no chat with images")],
)
def test_a_log_without_chats_is_refused(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(EvaluationError, match=message):
        of_log(tmp_path / name)


def test_what_cannot_be_asked_is_refused(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(EvaluationError, match="has no pictures"):
        of_pictures(tmp_path_factory.mktemp("empty"), None)
    (folder / "questions").write_text("\n")
    with pytest.raises(EvaluationError, match="is empty"):
        of_pictures(folder, folder / "questions")
    (folder / "broken.png").write_bytes(b"no picture")
    with pytest.raises(EvaluationError, match=r"broken.png: cannot identify"):
        of_pictures(folder, None)
