"""What the prefill benchmark asks, and what it makes of the times, worked out by hand."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from loadtest.benchmarks.engine import Question
from loadtest.benchmarks.prefill import QUESTION_LENGTH, as_markdown, draw, overhead, row, works
from loadtest.benchmarks.shapes import SHAPES

SHAPE = SHAPES["tiny"]
LENGTHS = {ratio: QUESTION_LENGTH + SHAPE.plan(ratio).kept for ratio in (0.0, 0.7)}
TIMES = {
    name: [seconds, seconds]
    for name, seconds in {
        "stock": 15.5,
        "tower": 2.0,
        "text 0": 12.0,
        "text 0.7": 3.5,
        "ours 0": 15.6,
        "ours 0.7": 6.0,
    }.items()
}


@dataclass
class Asked:
    """An engine that notes what it is asked, and prunes unless told otherwise."""

    prunes: bool
    questions: list[Question] = field(default_factory=list)

    def ask(self, question: Question) -> tuple[float, int]:
        self.questions.append(question)
        visual = SHAPE.plan(question.ratio if self.prunes else 0.0).kept if question.picture else 0
        return float(question.length), question.length + visual

    def tower(self, crops: int) -> float:
        return float(crops)


def test_each_engine_is_asked_what_it_is_compared_by() -> None:
    stock, ours = Asked(False), Asked(True)
    times = {name: work() for name, work in works(stock, ours, SHAPE, LENGTHS).items()}
    assert times == {
        "stock": QUESTION_LENGTH,
        "tower": 5.0,
        "text 0": LENGTHS[0.0],
        "text 0.7": LENGTHS[0.7],
        "ours 0": QUESTION_LENGTH,
        "ours 0.7": QUESTION_LENGTH,
    }
    assert [(bool(each.picture), each.ratio) for each in stock.questions] == [(True, 0.0), (False, 0.0), (False, 0.0)]
    assert [(bool(each.picture), each.ratio) for each in ours.questions] == [(True, 0.0), (True, 0.7)]
    assert len({each.seed for each in stock.questions + ours.questions}) == 5


def test_a_prompt_that_was_not_pruned_is_no_measurement() -> None:
    asked = works(Asked(False), Asked(False), SHAPE, LENGTHS)
    with pytest.raises(RuntimeError, match=rf"a prompt of {LENGTHS[0.0]} tokens should have {LENGTHS[0.7]}"):
        asked["ours 0.7"]()


def test_efficiency_is_the_share_of_what_could_be_saved() -> None:
    found = row(TIMES, 0.7, LENGTHS[0.7])
    assert found["ideal"] == pytest.approx(5.5)
    assert found["efficiency"]["value"] == pytest.approx(9.5 / 10)
    # A picture costs 3.5 s beside its tokens: without them 7 s are left.
    assert found["language_efficiency"]["value"] == pytest.approx(9.5 / 8.5)
    assert overhead(TIMES)["value"] == pytest.approx(0.1 / 15.5)


def test_what_has_no_noise_has_no_interval() -> None:
    found = row(TIMES, 0.7, LENGTHS[0.7])["efficiency"]
    assert found["low"] == found["value"] == found["high"]


def test_the_report_tells_all_of_it() -> None:
    content: Mapping[str, object] = {
        "model_shape": "tiny",
        "layers": 1,
        "published_layers": 2,
        "overhead": overhead(TIMES),
        "ratios": [row(TIMES, ratio, length) for ratio, length in LENGTHS.items()],
    }
    text = "\n".join(as_markdown(content, TIMES))
    assert "in its tiny shape with random weights, 1 of 2 layers of the language model. Medians of 2 rounds" in text
    assert f"| 70 % | {LENGTHS[0.7]} | 6 s (6 s to 6 s) | 2.58 x |" in text
    assert "| 95.0 % (95.0 % to 95.0 %) | 111.8 % (111.8 % to 111.8 %) |" in text
    (axes,) = draw(content, TIMES).axes
    assert [line.get_label() for line in axes.lines] == [
        "stock vLLM, not pruned",
        "pruned",
        "ideal",
        "the tower by itself",
    ]
    assert list(axes.lines[1].get_ydata()) == [15.6, 6.0]
