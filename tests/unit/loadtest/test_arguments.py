"""Command lines name cells, or say what is wrong with them."""

import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from loadtest.__main__ import main
from loadtest.arguments import cells, check, parser


def parsed(*words: str, folder: str = "no/such/folder") -> Namespace:
    whole = parser("")
    arguments = whole.parse_args(["--url", "http://localhost:8000", "--output", folder, *words])
    check(whole, arguments)
    return arguments


def test_each_ratio_under_each_pattern_is_a_cell_and_all_mixed_are_one_more() -> None:
    words = ("--ratios", "none,0,0.7", "--mixed", "--concurrency", "1,8", "--rate", "2.5")
    assert [cell.name for cell in cells(parsed(*words))] == [
        f"ratio-{ratio}_{arrival}"
        for arrival in ("concurrency-1", "concurrency-8", "rate-2.5")
        for ratio in ("none", "0", "0.7", "mixed")
    ]


@pytest.mark.parametrize(
    ("words", "patterns"),
    [
        ((), ["concurrency-1", "concurrency-8", "concurrency-32"]),
        (("--rate", "2"), ["rate-2"]),
        (("--concurrency", "4", "--rate", "2"), ["concurrency-4", "rate-2"]),
    ],
)
def test_closed_loops_are_measured_where_nothing_else_is_named(words: tuple[str, ...], patterns: list[str]) -> None:
    assert [cell.arrival.name for cell in cells(parsed(*words))] == patterns


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--concurrency", "0"), "--concurrency"),
        (("--ratios", "half"), "--ratios"),
        (("--rate", "0"), "must be above 0"),
        (("--size", "640"), "--size"),
        (("--slo", "itl:5"), "itl is not one of"),
        (("--fail-over", "p50_ttft=5"), "p50_ttft is no figure"),
        (("--fail-under", "request_goodput=5"), "needs --slo"),
        (("--extra-body", "{"), "--extra-body"),
    ],
)
def test_wrong_words_are_refused_with_status_2(
    words: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parsed(*words)
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


def test_two_runs_are_compared_without_an_engine() -> None:
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
