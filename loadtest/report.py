"""What a load test writes down: a JSON file for each cell, `report.md` and `report.png`."""

from collections.abc import Sequence
from pathlib import Path

from evaluation.files import read_json, write_json, write_text
from evaluation.markdown import table
from loadtest.cell import ratio_name
from loadtest.plot import draw
from loadtest.result import Result

HEADER = (
    *("arrivals", "pruned", "requests", "failed", "requests/s", "good/s", "visual tokens"),
    *("TTFT p50 (ms)", "TTFT p99", "ITL p50 (ms)", "ITL p99", "E2EL p50 (ms)", "E2EL p99"),
)
UNKNOWN = "-"
SHOWN = ("median_ttft_ms", "p99_ttft_ms", "median_itl_ms", "p99_itl_ms", "median_e2el_ms", "p99_e2el_ms")


def write_result(result: Result, name: str, folder: Path) -> None:
    """Write the file of a cell."""
    write_json(folder / f"{name}.json", result)


def read_results(folder: Path) -> list[Result]:
    """The results in a folder, or in one file. Those that `vllm bench serve --save-result` wrote are read as well."""
    found = [read_json(file) for file in ([folder] if folder.is_file() else folder.glob("*.json"))]
    results = [_completed(result) for result in found if isinstance(result, dict) and "request_throughput" in result]
    return sorted(results, key=_order)


def _order(result: Result) -> tuple[str, list[float], str]:
    """By pattern, its numbers, and ratio."""
    kind, *numbers = result["arrival"].split("-")
    return kind, [float(number) for number in numbers], str(result["prune_ratio"])


def _completed(result: Result) -> Result:
    """A result with the keys that are our own."""
    concurrency, rate = result.get("max_concurrency"), float(result.get("request_rate", "inf"))
    arrival = f"concurrency-{concurrency}" if concurrency else f"rate-{rate:g}"
    return {"prune_ratio": None, "arrival": arrival, **result}


def write_report(results: Sequence[Result], faults: Sequence[str], url: str, folder: Path) -> None:
    """Write what there is to know at a glance."""
    verdict = "Passed." if not faults else "\n".join(["Failed:", "", *(f"- {fault}" for fault in faults)])
    about = f"Model `{results[0]['model_id']}` at <{url}>, {results[0]['date']}. " + objectives_of(results[0])
    parts = ["# Load test", verdict, about.strip(), as_table(results).strip(), "![Ratio and speed](report.png)\n"]
    write_text(folder / "report.md", "\n\n".join(parts))
    draw(results, folder / "report.png")


def objectives_of(result: Result) -> str:
    """What answers counted as good."""
    limits = [f"{name} ≤ {limit:g} ms" for name, limit in (result["objectives_ms"] or {}).items()]
    return f"Good are answers with {' and '.join(limits)}." if limits else ""


def as_table(results: Sequence[Result]) -> str:
    """A row for each cell."""
    return table(HEADER, [_row(result) for result in results], text_columns=2)


def _row(result: Result) -> list[str]:
    kept = number(result["visual_tokens_kept"], ".0f")
    return [
        result["arrival"].replace("-", " ", 1),
        share(result["prune_ratio"]),
        str(result["completed"]),
        str(result["failed"]),
        number(result["request_throughput"], ".3g"),
        number(result["request_goodput"], ".3g"),
        f"{kept} of {result['visual_tokens_input']:.0f}" if result["visual_tokens_input"] else kept,
        *(number(result[figure], ".1f") for figure in SHOWN),
    ]


def share(ratio: float | str | None) -> str:
    """A ratio in per cent, or in words."""
    return ratio_name(ratio) if isinstance(ratio, str) or ratio is None else f"{100 * ratio:g} %"


def number(value: float | None, form: str) -> str:
    """A figure, or a dash where nothing was measured."""
    return UNKNOWN if value is None else format(value, form)
