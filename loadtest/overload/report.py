"""What the proof writes down: `overload.json`, `overload.md` and `overload.png`."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evaluation.figures.canvas import save, subplots
from evaluation.files import write_json, write_text
from evaluation.markdown import table
from loadtest.benchmarks.report import origin, provenance
from loadtest.overload.course import Course
from loadtest.overload.verdict import PERCENTILE, Load, faults, first_token, within

PERCENTILES = (50, PERCENTILE, 99)
HEADER = (
    *("policy", "requests", *(f"TTFT p{percentile} (s)" for percentile in PERCENTILES), "in time", "requests/s"),
    *("visual tokens kept", "largest ratio", "most waiting", "ratio back after (s)"),
)
COLOURS = {"fixed": "#7f7f7f", "adaptive": "#d62728"}


@dataclass(frozen=True, slots=True)
class Report:
    """All that was measured.

    Attributes:
        command: what was run.
        about: how, in a sentence.
        courses: by policy.
    """

    command: str
    about: str
    courses: Mapping[str, Course]
    load: Load

    def write(self, folder: Path) -> list[str]:
        """Write all three files; return what the run fails to prove."""
        found = faults(self.courses, self.load)
        write_json(folder / "overload.json", self.as_json(found))
        write_text(folder / "overload.md", self.as_markdown(found))
        draw(self.courses, self.load, folder / "overload.png")
        return found

    def as_json(self, found: Sequence[str]) -> dict[str, Any]:
        """Everything."""
        return {
            **provenance(self.command),
            "about": self.about,
            "passed": not found,
            "faults": list(found),
            "load": asdict(self.load),
            "courses": {name: _course(course, self.load) for name, course in self.courses.items()},
        }

    def as_markdown(self, found: Sequence[str]) -> str:
        """What there is to know at a glance."""
        verdict = "Passed." if not found else "\n".join(["Failed:", "", *(f"- {fault}" for fault in found)])
        load = self.load
        told = (
            f"Alone, an unpruned request has its first token after {load.alone:.2f} s, and the server answers "
            f"{load.capacity:.3g} of them a second. In the burst {load.rate:.3g} a second arrive, "
            f"{load.rate / load.capacity:.2f} times as many, as a Poisson process. The objective is a first token "
            f"within {load.objective:.1f} s, for {PERCENTILE} % of requests."
        )
        rows = table(HEADER, [_row(name, course, load) for name, course in self.courses.items()]).strip()
        parts = ["# Overload", origin(self.command), self.about, verdict, told, rows, "![](overload.png)\n"]
        return "\n\n".join(parts)


def _course(course: Course, load: Load) -> dict[str, Any]:
    began = course.burst.began
    return {
        "ttft_s": {f"p{percentile}": first_token(course, percentile) for percentile in PERCENTILES},
        "in_time": within(course, load),
        "seconds": course.over - began,
        "recovery_s": course.recovery,
        "after": {"visual_input": course.after.visual_input, "visual_kept": course.after.visual_kept},
        "requests": [
            {
                "start_s": round(answer.start - began, 3),
                "ttft_s": round(answer.ttft, 3),
                "visual_input": answer.visual_input,
                "visual_kept": answer.visual_kept,
            }
            for answer in course.burst.answers
        ],
        "looks": [[round(look.time - began, 1), look.ratio, look.waiting] for look in course.looks],
    }


def _row(name: str, course: Course, load: Load) -> list[str]:
    answers = course.burst.answers
    kept = np.mean([(answer.visual_kept or 0) / (answer.visual_input or 1) for answer in answers])
    return [
        name,
        str(len(answers)),
        *(f"{first_token(course, percentile):.1f}" for percentile in PERCENTILES),
        f"{within(course, load):.0%}",
        f"{len(answers) / (course.over - course.burst.began):.3g}",
        f"{kept:.0%}",
        f"{max(look.ratio for look in course.looks):g}",
        f"{max(look.waiting for look in course.looks):.0f}",
        "never" if course.recovery is None else f"{course.recovery:.0f}",
    ]


def draw(courses: Mapping[str, Course], load: Load, file: Path) -> None:
    """Time to first token of each request, and the ratio, over time."""
    figure, (tokens, ratios) = subplots(1, width=8.0, heights=(3.6, 2.2))
    for name, course in courses.items():
        began, colour = course.burst.began, COLOURS.get(name)
        answers = sorted(course.burst.answers, key=lambda answer: answer.start)
        starts = [answer.start - began for answer in answers]
        tokens.plot(starts, [answer.ttft for answer in answers], "o-", ms=3, lw=1, label=name, color=colour)
        times = [look.time - began for look in course.looks]
        ratios.step(times, [look.ratio for look in course.looks], where="post", label=name, color=colour)
    tokens.axhline(load.objective, linestyle="--", color="black", lw=1, label="objective")
    tokens.set(ylabel="time to first token (s)", xlabel="sent after (s)")
    ratios.set(ylabel="pruning ratio", xlabel="seconds")
    for axes in (tokens, ratios):
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    tokens.legend()
    save(figure, file)
