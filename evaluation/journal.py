"""What has been answered so far, in a file that outlives the run."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from evaluation.cell import Cell
from evaluation.fingerprint import digest
from evaluation.sample import MAX_TOKENS, Sample
from evaluation.score import is_right


@dataclass(frozen=True, slots=True)
class Answer:
    """One question put to one server.

    Attributes:
        key: names everything that the answer depends on: server, pruning, picture and question.
        prompt_tokens: length of the prompt.
        visual_tokens: how many of them are visual.
    """

    key: str
    method: str
    ratio: float
    scene: int
    task: str
    question: str
    expected: str
    text: str
    prompt_tokens: int
    visual_tokens: int

    @classmethod
    def to(cls, sample: Sample, cell: Cell, **found: Any) -> "Answer":
        """The answer to a question under a cell; `found` are the attributes that neither tells."""
        return cls(
            method=cell.method,
            ratio=cell.ratio,
            scene=sample.scene,
            task=sample.task,
            question=sample.question,
            expected=sample.answer,
            **found,
        )

    @property
    def is_right(self) -> bool:
        return is_right(self.text, self.expected)


class Journal:
    """Answers and times in the folder of a run. Each is on disk before the next is awaited."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._answers_file, self._times_file = folder / "answers.jsonl", folder / "times.jsonl"
        self._answers = {line["key"]: Answer(**line) for line in read_lines(self._answers_file)}
        self._times = list(read_lines(self._times_file))

    def __contains__(self, key: str) -> bool:
        return key in self._answers

    def __getitem__(self, key: str) -> Answer:
        return self._answers[key]

    def add(self, answer: Answer) -> None:
        self._answers[answer.key] = answer
        append_line(self._answers_file, asdict(answer))

    @contextmanager
    def timed(self, key: str) -> Iterator[None]:
        """Note how long it takes to get the answers of a cell, also when they are not all that was wanted."""
        before, start = len(self._answers), perf_counter()
        try:
            yield
        finally:
            time = {"key": key, "answers": len(self._answers) - before, "seconds": perf_counter() - start}
            self._times.append(time)
            append_line(self._times_file, time)

    def samples_per_second(self, key: str) -> float | None:
        """Answers of a cell each second, over all runs that asked for some; None where none did."""
        times = [time for time in self._times if time["key"] == key and time["answers"]]
        return sum(time["answers"] for time in times) / sum(time["seconds"] for time in times) if times else None


def key_of(fingerprint: str, cell: Cell, sample: Sample) -> str:
    """Names everything that an answer, and whether it is right, depends on."""
    return digest(fingerprint, cell.fields, sample.picture.digest, sample.question, sample.answer, MAX_TOKENS)


def time_key(fingerprint: str, cell: Cell, in_flight: int) -> str:
    """Names what the time of a cell depends on."""
    return digest(fingerprint, cell.fields, in_flight)


def read_lines(file: Path) -> Iterator[dict[str, Any]]:
    """The lines of a file. One that a killed run left unfinished is cut off."""
    if not file.exists():
        return
    content = file.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if len(whole) < len(content):
        file.write_bytes(whole)
    for line in whole.decode().splitlines():
        yield json.loads(line)


def append_line(file: Path, line: dict[str, Any]) -> None:
    with file.open("a") as output:
        output.write(json.dumps(line, ensure_ascii=False) + "\n")
