"""Two runs are compared cell by cell."""

import json
from pathlib import Path

import pytest

from loadtest.__main__ import main
from loadtest.comparison import changes
from loadtest.gates import Result
from loadtest.report import read_results
from tests.unit.loadtest.made import result


def run(factor: float, ratio: float | None = 0.7) -> Result:
    """Ten requests, so much slower than others, and one that failed at once."""
    made = result([factor * (0.5 + n / 100) for n in range(10)], ratio, seconds=10 * factor)
    return (
        made
        | {"ttfts": [*made["ttfts"], 0.0], "itls": [*made["itls"], []], "latencies": [*made["latencies"], 0.0]}
        | {"errors": [*made["errors"], "503"]}
    )


def test_ratios_are_of_medians_and_within_their_intervals_which_leave_out_failures() -> None:
    found = {change.figure: change for change in changes([run(1)], [run(2)])}
    assert found["request_throughput"].ratio == 0.5
    assert found["request_throughput"].interval is None
    assert {round(change.slowdown, 3) for change in found.values()} == {100.0}
    for figure in ("median_ttft_ms", "median_itl_ms", "median_e2el_ms"):
        interval = found[figure].interval
        assert interval is not None
        assert 1.8 < interval[0] <= found[figure].ratio <= interval[1] < 2.2


def test_only_cells_of_both_runs_are_compared() -> None:
    assert {change.cell for change in changes([run(1), run(1, 0.5)], [run(1, 0.5), run(1, 0.9)])} == {
        "ratio 0.5, concurrency 2"
    }


def test_results_of_vllm_are_read_too(tmp_path: Path) -> None:
    own = ("prune_ratio", "arrival", "failures", "ttfts", "itls", "latencies", "errors")
    theirs = {name: value for name, value in run(2).items() if name not in own} | {"max_concurrency": 2}
    (tmp_path / "theirs.json").write_text(json.dumps(theirs))
    found = list(changes([run(1, None)], read_results(tmp_path / "theirs.json")))
    assert [change.interval for change in found] == [None] * 4
    assert found[1].ratio == pytest.approx(2)


@pytest.mark.parametrize(("factor", "status"), [(1.0, 0), (1.05, 0), (1.2, 1), (0.5, 0)])
def test_a_slower_run_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str], factor: float, status: int) -> None:
    for name, of in (("a", 1.0), ("b", factor)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cell.json").write_text(json.dumps(run(of)))
    report = tmp_path / "comparison.md"
    words = ["compare", str(tmp_path / "a"), str(tmp_path / "b"), "--output", str(report), "--fail-slower", "10"]
    assert main(words) == status
    assert ("is worse by 20.0 %" in capsys.readouterr().out) is (status == 1)
    assert f"| {factor:.3f} |" in report.read_text()


def test_runs_without_a_common_cell_cannot_be_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(tmp_path), str(tmp_path)]) == 2
    assert "no cell in common" in capsys.readouterr().err
