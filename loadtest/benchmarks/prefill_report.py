"""What the prefill benchmark writes down: `prefill.json`, `prefill.md` and `prefill.png`."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from evaluation.markdown import table
from loadtest.benchmarks.efficiency import OURS, STOCK, TEXT, TOWER, Estimate, Prefill
from loadtest.benchmarks.report import percent, write_report
from loadtest.benchmarks.timing import duration


def report(result: Prefill, folder: Path, command: str) -> None:
    """Write all three files."""
    write_report(folder, "prefill", "Time to first token", command, as_json(result), as_markdown(result))
    draw(result, folder / "prefill.png")


def as_json(result: Prefill) -> dict[str, Any]:
    """Everything that was measured, and what follows from it."""
    return {
        "model_shape": result.shape,
        "layers": result.layers,
        "published_layers": result.published_layers,
        "overhead": asdict(result.overhead()),
        "ratios": [
            {
                "ratio": ratio,
                "prompt_tokens": length,
                "ideal": result.ideal(ratio),
                "efficiency": asdict(result.efficiency(ratio)),
                "language_efficiency": asdict(result.language_efficiency(ratio)) if ratio else None,
            }
            for ratio, length in result.lengths.items()
        ],
        "times": {name: times.as_json() for name, times in result.times.items()},
    }


def as_markdown(result: Prefill) -> list[str]:
    """What there is to know at a glance."""
    stock = result.times[STOCK]
    rows = [
        [
            percent(ratio, 0),
            length,
            str(result.at(OURS, ratio)),
            f"{stock.median / result.at(OURS, ratio).median:.2f} x",
            str(result.at(TEXT, ratio)),
            duration(result.ideal(ratio)),
            shown(result.efficiency(ratio)) if ratio else "",
            shown(result.language_efficiency(ratio)) if ratio else "",
        ]
        for ratio, length in result.lengths.items()
    ]
    header = [
        *("pruned", "prompt tokens", "ours", "stock / ours", "text of that length", "ideal", "efficiency"),
        "of the prompt alone",
    ]
    rounds = len(stock.seconds)
    return [
        f"LLaVA-NeXT in its {result.shape} shape with random weights, {result.layers} of {result.published_layers} "
        f"layers of the language model. Medians of {rounds} rounds with quartiles, shares with 95 % confidence "
        "intervals.",
        f"Stock vLLM without pruning: {stock}. The tower by itself: {result.times[TOWER]}. Overhead at ratio 0: "
        f"{shown(result.overhead(), 2)}.",
        table(header, rows),
        "*ideal* is stock vLLM with a text of that length, and the tower; *efficiency* is (stock - ours) / (stock - "
        "ideal). *of the prompt alone*: the same where the ideal keeps all that a picture costs stock vLLM beside its "
        "tokens.",
        "![Time to first token against the ratio](prefill.png)",
    ]


def shown(estimate: Estimate, digits: int = 1) -> str:
    """A share with its interval."""
    low, high = (percent(value, digits) for value in (estimate.low, estimate.high))
    return f"{percent(estimate.value, digits)} ({low} to {high})"


def draw(result: Prefill, file: Path) -> None:
    """Times to first token against the ratio."""
    from evaluation.figures.canvas import save, subplots

    figure, (axes,) = subplots(1, width=6)
    across = [100 * ratio for ratio in result.lengths]
    ours = [result.at(OURS, ratio) for ratio in result.lengths]
    below = [times.median - times.quartiles[0] for times in ours]
    above = [times.quartiles[1] - times.median for times in ours]
    axes.axhline(result.times[STOCK].median, color="black", label="stock vLLM, not pruned")
    axes.errorbar(
        across, [times.median for times in ours], yerr=(below, above), color="#d62728", marker="o", label="pruned"
    )
    axes.plot(across, [result.ideal(ratio) for ratio in result.lengths], color="grey", ls="--", label="ideal")
    axes.axhline(result.times[TOWER].median, color="grey", ls=":", label="the tower by itself")
    axes.set(xlabel="visual tokens pruned (%)", ylabel="time to first token (s)", ylim=(0, None))
    axes.legend()
    save(figure, file)
