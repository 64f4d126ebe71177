"""Questions about an operator's own pictures, which nobody has labelled."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.failure import EvaluationError
from evaluation.file_picture import FilePicture
from evaluation.fingerprint import digest

GENERAL = ("Describe this picture in one sentence.", "What text is in this picture? Answer with the text alone.")
"""What is asked about each picture where the operator has no questions."""
SUFFIXES = frozenset((".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"))


@dataclass(frozen=True, slots=True)
class Question:
    """A conversation that ends with a question about pictures.

    Attributes:
        about: file or line that it comes from. Questions of one picture depend on each other.
        messages: as a chat takes them.
    """

    about: str
    messages: list[dict[str, Any]]

    @property
    def digest(self) -> str:
        """Names its content."""
        return str(digest(self.messages))


def of_pictures(folder: Path, questions: Path | None) -> list[Question]:
    """Return a question for each picture in a folder and each line of a file.

    Raises:
        EvaluationError: there is no picture or no question, or a picture cannot be read.
    """
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES)
    if not files:
        raise EvaluationError(f"{folder} has no pictures. Name a folder with files such as *.png or *.jpg")
    texts = GENERAL if questions is None else [line.strip() for line in questions.read_text().splitlines()]
    texts = [text for text in texts if text]
    if not texts:
        raise EvaluationError(f"{questions} is empty. Write a question on each line")
    return [
        Question(str(file.relative_to(folder)), _asked(url, text))
        for file in files
        for url in [FilePicture.read(file).url]
        for text in texts
    ]


def of_log(file: Path) -> list[Question]:
    """Return the chats with images of a file that has a request body on each line, or one of vLLM's batch format.

    Raises:
        EvaluationError: a line is not JSON, or there is no chat with images.
    """
    found = [
        Question(f"line {number}", messages)
        for number, body in _bodies(file)
        for messages in [body.get("messages")]
        if isinstance(messages, list) and '"image_url"' in json.dumps(messages)
    ]
    if not found:
        raise EvaluationError(
            f"{file} has no chat with images. Each line is the body of a /v1/chat/completions request"
        )
    return found


def _bodies(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(file.read_text().splitlines(), start=1):
        try:
            value = json.loads(line) if line.strip() else {}
        except ValueError as error:
            raise EvaluationError(f"{file}, line {number}: this is not JSON: {error}") from error
        if isinstance(value, dict):
            yield number, value.get("body", value)


def _asked(url: str, text: str) -> list[dict[str, Any]]:
    picture = {"type": "image_url", "image_url": {"url": url}}
    return [{"role": "user", "content": [picture, {"type": "text", "text": text}]}]
