"""Command lines name cells, or say what is wrong with them."""

import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from loadtest.__main__ import main
from loadtest.arguments import cells, check, parser
from loadtest.arrival import ClosedLoop, Poisson, Ramp


def parsed(*words: str, folder: str = "no/such/folder") -> Namespace:
    whole = parser("")
    arguments = whole.parse_args(["--url", "http://localhost:8000", "--output", folder, *words])
    check(whole, arguments)
    return arguments


def test_each_ratio_under_each_pattern_is_a_cell() -> None:
    arguments = parsed("--ratios", "none,0,0.7", "--concurrency", "1,8", "--rate", "2.5", "--ramp", "0", "4", "30")
    assert [cell.name for cell in cells(arguments)] == [
        f"ratio-{ratio}_{arrival}"
        for arrival in ("concurrency-1", "concurrency-8", "rate-2.5", "ramp-0-4-30")
        for ratio in ("none", "0", "0.7")
    ]


def test_mixed_ratios_are_a_cell_more() -> None:
    (*each, mixed) = cells(parsed("--ratios", "0,0.5,0.7", "--mixed", "--concurrency", "4"))
    assert [cell.ratios for cell in each] == [(0.0,), (0.5,), (0.7,)]
    assert (mixed.ratios, mixed.name) == ((0.0, 0.5, 0.7), "ratio-mixed_concurrency-4")


@pytest.mark.parametrize(
    ("words", "patterns"),
    [
        ((), [ClosedLoop(1), ClosedLoop(8), ClosedLoop(32)]),
        (("--rate", "2"), [Poisson(2)]),
        (("--ramp", "1", "2", "3"), [Ramp(1, 2, 3)]),
        (("--concurrency", "4", "--rate", "2"), [ClosedLoop(4), Poisson(2)]),
    ],
)
def test_closed_loops_are_what_is_measured_where_nothing_else_is_named(
    words: tuple[str, ...], patterns: list[object]
) -> None:
    assert [cell.arrival for cell in cells(parsed(*words))] == patterns


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--concurrency", "0"), "--concurrency"),
        (("--ratios", "half"), "--ratios"),
        (("--rate", "0"), "must be above 0"),
        (("--ramp", "0", "0", "9"), "--ramp needs"),
        (("--ramp", "-1", "5", "9"), "--ramp"),
        (("--sizes", "640"), "--sizes"),
        (("--slo", "speed:5"), "speed is not one of"),
        (("--slo", "ttft"), "--slo"),
        (("--fail-over", "p50_ttft=5"), "p50_ttft is no figure"),
        (("--fail-under", "request_goodput=5"), "needs --slo"),
        (("--extra-body", "[1]"), "no JSON object"),
        (("--extra-body", "{"), "--extra-body"),
        (("--requests", "0"), "--requests"),
        (("--warm-up", "-1"), "--warm-up"),
    ],
)
def test_what_cannot_be_is_refused_with_status_2(
    words: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parsed(*words)
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


def test_a_client_needs_no_engine() -> None:
    """Load usually comes from another machine than the server's."""
    program = "import sys, loadtest.__main__; print({'torch', 'transformers', 'vllm'} & set(sys.modules))"
    root = Path(__file__).parents[3]
    printed = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert printed.stdout == "set()\n"


def test_results_of_another_run_are_not_mixed_with_new_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "cell.json").write_text("{}")
    with pytest.raises(SystemExit) as ended:
        main(["--url", "http://localhost:8000", "--output", str(tmp_path)])
    assert ended.value.code == 2
    assert "results of another run" in capsys.readouterr().err
