"""What a soak writes down: `soak.json`, `soak.md` and `memory.png`."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from evaluation.files import write_json, write_text
from evaluation.markdown import table
from evaluation.provenance import commit, machine, versions
from loadtest.soak.memory import Curve
from loadtest.soak.request import ENDINGS
from loadtest.soak.verdict import GROWTH_SHARE, Record, faults, growths


def write_report(record: Record, allowed_megabytes: float, folder: Path) -> list[str]:
    """Write all three files; return what is wrong."""
    found = faults(record, allowed_megabytes)
    write_json(folder / "soak.json", as_json(record, found, allowed_megabytes))
    write_text(folder / "soak.md", as_markdown(record, found, allowed_megabytes))
    draw(record.curves, folder / "memory.png")
    return found


def as_json(record: Record, found: Sequence[str], allowed_megabytes: float) -> dict[str, Any]:
    """Everything that was seen."""
    judged = growths(record.curves, record.seconds, allowed_megabytes)
    return {
        "passed": not found,
        "faults": list(found),
        "commit": commit(),
        "machine": machine(),
        "versions": versions(),
        "seconds": round(record.seconds),
        "requests": [
            {"kind": kind, "ending": ending, "count": count} for (kind, ending), count in sorted(record.endings.items())
        ],
        "details": record.details,
        "probes": record.probes,
        "drifts": record.drifts,
        "left_behind": record.left_behind,
        "memory": [{**asdict(growth), "flat": growth.flat} for growth in judged],
        "curves": [asdict(curve) for curve in record.curves],
    }


def as_markdown(record: Record, found: Sequence[str], allowed_megabytes: float) -> str:
    """What there is to know at a glance."""
    verdict = "Passed." if not found else "\n".join(["Failed:", "", *(f"- {fault}" for fault in found)])
    return "\n\n".join(
        [
            "# Soak",
            verdict,
            f"{record.seconds / 60:.0f} minutes at commit {commit()} on {machine()}; {versions()}.",
            _requests(record).strip(),
            f"The probe was asked {record.probes} times, with the server to itself. {len(record.drifts)} answers were "
            "not the first one, to the last bit of every log-probability.",
            _memory(record, allowed_megabytes).strip(),
            f"Resident memory, medians of the soak's quarters. A process may grow by {GROWTH_SHARE:.0%} and "
            f"{allowed_megabytes:g} MB.",
            "![Memory over time](memory.png)\n",
        ]
    )


def _requests(record: Record) -> str:
    kinds = sorted({kind for kind, _ in record.endings})
    rows = [(kind, *(record.endings[kind, ending] for ending in ENDINGS)) for kind in kinds]
    return table(("requests", *ENDINGS), [*rows, ("all", *(record.totals()[ending] for ending in ENDINGS))])


def _memory(record: Record, allowed_megabytes: float) -> str:
    rows = [
        (growth.process, *(f"{value:.0f}" for value in (growth.second, growth.last, growth.allowed)))
        for growth in growths(record.curves, record.seconds, allowed_megabytes)
    ]
    return table(("process", "second quarter (MB)", "last quarter (MB)", "growth allowed (MB)"), rows)


def draw(curves: Sequence[Curve], file: Path) -> None:
    """Plot memory over time, a line for each process."""
    figure = Figure(figsize=(8, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for curve in curves:
        axes.plot([seconds / 60 for seconds in curve.seconds], curve.megabytes, label=curve.process)
    axes.set_xlabel("minutes")
    axes.set_ylabel("resident memory (MB)")
    axes.set_ylim(bottom=0)
    if curves:
        axes.legend()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=100)
