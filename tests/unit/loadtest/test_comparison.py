"""Two runs are compared cell by cell."""

from pathlib import Path

import pytest

from evaluation.files import write_json
from loadtest.__main__ import main
from loadtest.comparison import changes
from loadtest.report import read_results
from loadtest.result import Result
from tests.unit.loadtest.answers import answered, failed, result


def run(factor: float, ratio: float = 0.7) -> Result:
    """Ten requests, so much slower than others; one more failed."""
    answers = [answered(float(n), factor * (0.5 + n / 100), factor * 0.05, factor * 0.05) for n in range(10)]
    return result(*answers, failed(3.0), ratios=(ratio,), seconds=10 * factor)


def test_ratios_are_of_medians() -> None:
    found = {change.figure: change for change in changes([run(1)], [run(2)])}
    assert found["median_ttft_ms"].first == pytest.approx(545)
    assert {name: round(change.ratio, 3) for name, change in found.items()} == {
        "request_throughput": 0.5,
        "median_ttft_ms": 2.0,
        "median_itl_ms": 2.0,
        "median_e2el_ms": 2.0,
    }
    assert {round(change.slowdown, 3) for change in found.values()} == {100.0}


def test_intervals_hold_the_ratio_and_leave_out_failures() -> None:
    for change in changes([run(1)], [run(2)]):
        if change.figure != "request_throughput":
            assert change.interval is not None
            low, high = change.interval
            assert 1.8 < low <= change.ratio <= high < 2.2


def test_only_cells_of_both_runs_are_compared() -> None:
    assert {change.cell for change in changes([run(1), run(1, 0.5)], [run(1, 0.5), run(1, 0.9)])} == {
        "ratio 0.5, concurrency 2"
    }


def test_results_of_vllm_are_read_too(tmp_path: Path) -> None:
    ours = run(1) | {"prune_ratio": None}
    own = ("prune_ratio", "arrival", "failures", "ttfts", "itls", "latencies", "errors")
    write_json(tmp_path / "theirs.json", {name: value for name, value in run(2).items() if name not in own})
    found = changes([ours], read_results(tmp_path / "theirs.json"))
    assert [change.interval for change in found] == [None] * 4
    assert found[1].ratio == pytest.approx(2)


@pytest.mark.parametrize(("factor", "status"), [(1.0, 0), (1.05, 0), (1.2, 1), (0.5, 0)])
def test_a_slower_run_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str], factor: float, status: int) -> None:
    write_json(tmp_path / "a" / "cell.json", run(1))
    write_json(tmp_path / "b" / "cell.json", run(factor))
    report = tmp_path / "comparison.md"
    words = ["compare", str(tmp_path / "a"), str(tmp_path / "b"), "--output", str(report), "--fail-slower", "10"]
    assert main(words) == status
    assert ("is worse by 20.0 %" in capsys.readouterr().out) is (status == 1)
    assert f"| {factor:.3f} |" in report.read_text()


def test_runs_without_a_common_cell_cannot_be_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(tmp_path), str(tmp_path)]) == 2
    assert "no cell in common" in capsys.readouterr().err
