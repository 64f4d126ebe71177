"""What a load test writes down: a JSON file for each cell, `report.md` and `report.png`."""

import json
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from loadtest import reporting
from loadtest.cell import ratio_name
from loadtest.gates import Result

COUNTS = {
    "requests": ("completed", "d"),
    "failed": ("failed", "d"),
    "requests/s": ("request_throughput", ".3g"),
    "good/s": ("request_goodput", ".3g"),
    "visual tokens": ("visual_tokens_input", ".0f"),
    "kept": ("visual_tokens_kept", ".0f"),
}
LATENCIES = {
    f"{metric.upper()} {shown} (ms)": (f"{name}_{metric}_ms", ".1f")
    for metric in ("ttft", "tpot", "e2el")
    for shown, name in (("p50", "median"), ("p99", "p99"))
}
PLOTTED = {"median_ttft_ms": "time to first token, median (ms)", "request_throughput": "requests/s"}


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
    columns = COUNTS | LATENCIES
    rows = [[*names(each), *(number(each[key], form) for key, form in columns.values())] for each in results]
    return reporting.table(("arrivals", "pruned", *columns), rows, text_columns=2)


def names(result: Result) -> tuple[str, str]:
    """Name the arrivals and the ratio in words."""
    ratio = result["prune_ratio"]
    pruned = ratio_name(ratio) if isinstance(ratio, str) or ratio is None else f"{100 * ratio:g} %"
    return result["arrival"].replace("-", " ", 1), pruned


def number(value: float | None, form: str) -> str:
    """A figure, or a dash where nothing was measured."""
    return "-" if value is None else format(value, form)


def draw(results: Sequence[Result], no_ratio: str = "none") -> Figure:
    """Draw ratio against time to first token and throughput: a line for each pattern of arrivals.

    Args:
        no_ratio: what to call requests that ask for no ratio, which have a line across, as mixed ones have.
    """
    figure, both = reporting.plots(len(PLOTTED), width=5.5)
    for axes, (key, label) in zip(both, PLOTTED.items(), strict=True):
        for arrival in dict.fromkeys(result["arrival"] for result in results):
            _draw_line(axes, [each for each in results if each["arrival"] == arrival], key, no_ratio)
        axes.set(xlabel="visual tokens pruned (%)", ylabel=label)
        axes.set_ylim(bottom=0)
    figure.legend(*both[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return figure


def _draw_line(axes: Axes, results: Sequence[Result], key: str, no_ratio: str) -> None:
    single = sorted((100 * r["prune_ratio"], r[key]) for r in results if isinstance(r["prune_ratio"], float))
    name = names(results[0])[0]
    (line,) = axes.plot([ratio for ratio, _ in single], [value for _, value in single], marker="o", label=name)
    for result in results:
        if not isinstance(result["prune_ratio"], float):
            called, style = ("mixed", ":") if result["prune_ratio"] else (no_ratio, "--")
            axes.axhline(result[key], linestyle=style, label=f"{name}, {called}", color=line.get_color())
