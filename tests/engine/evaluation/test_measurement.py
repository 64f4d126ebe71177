"""Questions put to a real server: answered, kept, not asked twice, and never scored when they failed."""

import json
import os
import signal
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from evaluation.asking import request
from evaluation.cell import UNPRUNED, Cell, cells_of
from evaluation.failure import EvaluationError
from evaluation.journal import Answer, Journal
from evaluation.measurement import measure
from evaluation.sample import Sample, load_samples
from evaluation.service import Service, running_service
from tests.support.servers import API_KEY, Server

PRUNED = Cell("gprune", 0.5)


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return load_samples(1)


@pytest.fixture
def service(server: Server, monkeypatch: pytest.MonkeyPatch) -> Service:
    """The tests' server."""
    monkeypatch.setenv("VLLM_API_KEY", API_KEY)
    return running_service(f"{server.url}/v1")


@dataclass(frozen=True)
class Asleep:
    """One who must not be needed."""

    fingerprint: str

    def answer(self, questions: object, journal: Journal, in_flight: int) -> None:
        raise AssertionError("all answers were known")


def test_every_question_is_answered_under_every_cell(service: Service, samples: list[Sample], tmp_path: Path) -> None:
    unpruned, pruned = measure(service, {Cell(UNPRUNED, 0.0): samples, PRUNED: samples}, Journal(tmp_path), 3)
    for measurement in (unpruned, pruned):
        assert [answer.question for answer in measurement.answers] == [sample.question for sample in samples]
        assert [answer.expected for answer in measurement.answers] == [sample.answer for sample in samples]
        assert measurement.samples_per_second
        assert measurement.in_flight == 3
    for whole, half in zip(unpruned.answers, pruned.answers, strict=True):
        assert half.visual_tokens < whole.visual_tokens
        assert whole.prompt_tokens - half.prompt_tokens == whole.visual_tokens - half.visual_tokens


def test_an_answer_is_what_a_client_gets(
    server: Server, service: Service, samples: list[Sample], tmp_path: Path
) -> None:
    (measurement,) = measure(service, {PRUNED: samples[:1]}, Journal(tmp_path), 1)
    completion = server.client.chat.completions.create(**request(service.model, PRUNED, samples[0]))
    assert measurement.answers[0].text == completion.choices[0].message.content
    assert measurement.answers[0].visual_tokens == completion.usage.visual_tokens["kept"]


def test_known_answers_are_not_asked_for_again(service: Service, samples: list[Sample], tmp_path: Path) -> None:
    first = measure(service, {PRUNED: samples}, Journal(tmp_path), 2)
    asleep = Asleep(service.fingerprint)
    assert measure(asleep, {PRUNED: samples}, Journal(tmp_path), 2) == first


def test_only_what_is_missing_is_asked(service: Service, samples: list[Sample], tmp_path: Path) -> None:
    measure(service, {PRUNED: samples[:2]}, Journal(tmp_path), 2)
    (whole,) = measure(service, {PRUNED: samples}, Journal(tmp_path), 2)
    lines = (tmp_path / "answers.jsonl").read_text().splitlines()
    assert len(lines) == len(whole.answers) == len(samples)


@pytest.mark.parametrize("change", ["server", "picture", "question", "answer"])
def test_answers_to_anything_else_are_not_taken(
    service: Service, samples: list[Sample], tmp_path: Path, change: str
) -> None:
    sample = samples[0]
    measure(service, {PRUNED: [sample]}, Journal(tmp_path), 1)
    fingerprint = "another" if change == "server" else service.fingerprint
    others = {
        "server": sample,
        "picture": replace(sample, picture=replace(sample.picture, digest="another")),
        "question": replace(sample, question="Another?"),
        "answer": replace(sample, answer="another"),
    }
    with pytest.raises(AssertionError, match="all answers were known"):
        measure(Asleep(fingerprint), {PRUNED: [others[change]]}, Journal(tmp_path), 1)


def test_a_request_that_fails_ends_the_run(service: Service, samples: list[Sample], tmp_path: Path) -> None:
    cells = [PRUNED, Cell("nonesuch", 0.5)]
    with pytest.raises(EvaluationError, match=r"the server answered 400 \(nonesuch 50%, scene 0, \w+\): .*nonesuch"):
        measure(service, dict.fromkeys(cells, samples), Journal(tmp_path), 2)


def test_answers_before_a_failure_are_kept(service: Service, samples: list[Sample], tmp_path: Path) -> None:
    broken = replace(samples[-1], picture=replace(samples[-1].picture, url="data:image/png;base64,broken", digest=""))
    mixed = [*samples[:-1], broken]
    with pytest.raises(EvaluationError, match="the server answered 4"):
        measure(service, {PRUNED: [*mixed[:4], broken]}, Journal(tmp_path), 1)
    assert len((tmp_path / "answers.jsonl").read_text().splitlines()) == 4


@pytest.fixture
def interruptible() -> Iterator[None]:
    """SIGINT as a terminal has it: a shell that runs tests in the background has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_an_interrupted_run_goes_on_where_it_was(service: Service, samples: list[Sample], tmp_path: Path) -> None:
    class Interrupted(Journal):
        def add(self, answer: Answer) -> None:
            super().add(answer)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        measure(service, {PRUNED: samples}, Interrupted(tmp_path), 1)
    kept = len((tmp_path / "answers.jsonl").read_text().splitlines())
    assert 0 < kept < len(samples)
    (whole,) = measure(service, {PRUNED: samples}, Journal(tmp_path), 1)
    assert len(whole.answers) == len(samples)
    times = [json.loads(line)["answers"] for line in (tmp_path / "times.jsonl").read_text().splitlines()]
    assert times == [kept, len(samples) - kept]


def test_a_server_that_is_gone_ends_the_run(samples: list[Sample], tmp_path: Path) -> None:
    gone = Service("", "model", "fingerprint", lambda: nullcontext("http://127.0.0.1:9"))
    with pytest.raises(EvaluationError, match=r"no answer .*ConnectError"):
        measure(gone, {PRUNED: samples}, Journal(tmp_path), 2)
    with pytest.raises(EvaluationError, match=r"no server answers at http://127\.0\.0\.1:9"):
        running_service("http://127.0.0.1:9")


def test_ratio_zero_is_one_cell_for_all_methods() -> None:
    cells = cells_of(["random", "gprune"], [0.0, 0.5, 0.9])
    assert [str(cell) for cell in cells] == ["none 0%", "random 50%", "random 90%", "gprune 50%", "gprune 90%"]
