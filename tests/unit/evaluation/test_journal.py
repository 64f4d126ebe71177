"""The journal keeps what it was given, whatever happens to the run."""

from pathlib import Path

import pytest

from evaluation.journal import Answer, Journal


def answer(key: str, text: str = "yes") -> Answer:
    return Answer(key, "gprune", 0.5, 3, "existence", "Is there a red circle?", "yes", text, 100, 80)


def test_answers_outlive_the_run(tmp_path: Path) -> None:
    Journal(tmp_path / "run").add(answer("a", "naïve 東京"))
    again = Journal(tmp_path / "run")
    assert "a" in again
    assert again["a"] == answer("a", "naïve 東京")
    assert "b" not in again


def test_a_line_that_was_cut_short_is_asked_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for key in ("a", "b"):
        journal.add(answer(key))
    file = tmp_path / "answers.jsonl"
    file.write_bytes(file.read_bytes()[:-7])
    again = Journal(tmp_path)
    assert ("a" in again, "b" in again) == (True, False)
    again.add(answer("b"))
    assert "b" in Journal(tmp_path)


def test_speed_is_that_of_all_runs_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 2.0, 10.0, 13.0])
    monkeypatch.setattr("evaluation.journal.perf_counter", lambda: next(clock))
    with pytest.raises(RuntimeError), Journal(tmp_path).timed("cell"):
        raise RuntimeError("before the first answer")
    journal = Journal(tmp_path)
    with journal.timed("cell"):
        for key in "abcdef":
            journal.add(answer(key))
    assert Journal(tmp_path).samples_per_second("cell") == 2.0  # six answers in three seconds; the first run had none
    assert Journal(tmp_path).samples_per_second("other") is None
