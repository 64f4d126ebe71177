"""Ratio against time to first token and against throughput."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from loadtest.gates import Result
from loadtest.reporting import plots

FIGURES = {"median_ttft_ms": "time to first token, median (ms)", "request_throughput": "requests/s"}


def draw(results: Sequence[Result], no_ratio: str = "none") -> Figure:
    """Draw a line for each pattern of arrivals, and one across for what has no place on the axis.

    Args:
        no_ratio: what to call requests that ask for no ratio.
    """
    figure, both = plots(len(FIGURES), width=5.5)
    for axes, (key, label) in zip(both, FIGURES.items(), strict=True):
        for arrival in dict.fromkeys(result["arrival"] for result in results):
            _draw_line(axes, [result for result in results if result["arrival"] == arrival], key, no_ratio)
        axes.set(xlabel="visual tokens pruned (%)", ylabel=label)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    handles, labels = both[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=min(4, len(labels)))
    return figure


def _draw_line(axes: Axes, results: Sequence[Result], key: str, no_ratio: str) -> None:
    measured = [result for result in results if result["completed"]]
    points = sorted((100 * r["prune_ratio"], r[key]) for r in measured if isinstance(r["prune_ratio"], float | int))
    name = results[0]["arrival"].replace("-", " ", 1)
    (line,) = axes.plot(*(zip(*points, strict=True) if points else ([], [])), marker="o", label=name)
    for result in measured:
        if not isinstance(result["prune_ratio"], float | int):
            called, style = (no_ratio, "--") if result["prune_ratio"] is None else ("mixed", ":")
            axes.axhline(result[key], linestyle=style, label=f"{name}, {called}", color=line.get_color())
