"""What a load test writes down: a JSON file for each cell, `report.md` and `report.png`."""

import json
from collections.abc import Sequence
from pathlib import Path

from loadtest import reporting
from loadtest.cell import ratio_name
from loadtest.gates import Result
from loadtest.plot import draw

HEADER = (
    *("arrivals", "pruned", "requests", "failed", "requests/s", "good/s", "visual tokens"),
    *("TTFT p50 (ms)", "TTFT p99", "TPOT p50 (ms)", "TPOT p99", "E2EL p50 (ms)", "E2EL p99"),
)
SHOWN = ("median_ttft_ms", "p99_ttft_ms", "median_tpot_ms", "p99_tpot_ms", "median_e2el_ms", "p99_e2el_ms")


def read_results(folder: Path) -> list[Result]:
    """Read the results in a folder, or in one file. Those that `vllm bench serve --save-result` wrote count too."""
    found = [json.loads(file.read_text()) for file in ([folder] if folder.is_file() else sorted(folder.glob("*.json")))]
    return [_completed(result) for result in found if isinstance(result, dict) and "request_throughput" in result]


def _completed(result: Result) -> Result:
    """A result with the keys that are our own."""
    concurrency, rate = result.get("max_concurrency"), float(result.get("request_rate", "inf"))
    arrival = f"concurrency-{concurrency}" if concurrency else f"rate-{rate:g}"
    return {"prune_ratio": None, "arrival": arrival, **result}


def write_report(results: Sequence[Result], faults: Sequence[str], url: str, command: str, folder: Path) -> None:
    """Write what there is to know at a glance. The machine that it names is the client's."""
    limits = " and ".join(f"{name} ≤ {limit:g} ms" for name, limit in results[0]["objectives_ms"].items())
    about = f"Model `{results[0]['model_id']}` at <{url}>." + (f" Good are answers with {limits}." if limits else "")
    body = [verdict(faults), about, as_table(results)]
    content = {"passed": not faults, "faults": list(faults)}
    reporting.write_report(folder, "report", "Load test", command, content, body, draw(results))


def verdict(faults: Sequence[str]) -> str:
    """Tell what is wrong, if something is."""
    return "\n".join(["Failed:", "", *(f"- {fault}" for fault in faults)]) if faults else "Passed."


def as_table(results: Sequence[Result]) -> str:
    """Make a row for each cell."""
    return reporting.table(HEADER, [_row(result) for result in results], text_columns=2)


def _row(result: Result) -> list[str]:
    kept, whole = (number(result[f"visual_tokens_{stage}"], ".0f") for stage in ("kept", "input"))
    return [
        result["arrival"].replace("-", " ", 1),
        share(result["prune_ratio"]),
        str(result["completed"]),
        str(result["failed"]),
        number(result["request_throughput"], ".3g"),
        number(result["request_goodput"], ".3g"),
        f"{kept} of {whole}",
        *(number(result[figure] if result["completed"] else None, ".1f") for figure in SHOWN),
    ]


def share(ratio: float | str | None) -> str:
    """A ratio in per cent, or in words."""
    return ratio_name(ratio) if isinstance(ratio, str) or ratio is None else f"{100 * ratio:g} %"


def number(value: float | None, form: str) -> str:
    """A figure, or a dash where nothing was measured."""
    return "-" if value is None else format(value, form)
