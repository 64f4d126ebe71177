"""What was aimed at, and whether what was measured meets it: the table in RESULTS.md.

    python -m loadtest.aims

reads the JSON files under loadtest/measured, where results of the benchmarks are kept, and writes the table anew.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.commands.results import fill
from evaluation.files import read_json, write_text
from evaluation.markdown import table
from loadtest.benchmarks.report import percent

RESULTS = Path(__file__).parent / "RESULTS.md"
MEASURED = Path(__file__).parent / "measured"
MET, WITHIN, MISSED, NOT_RUN = "met", "within the spread", "missed", "not run"
HEADER = ("", "aim", "verdict", "measured")


@dataclass(frozen=True, slots=True)
class Aim:
    """An aim.

    Attributes:
        source: the folder of what was measured.
    """

    source: str
    wanted: str
    verdict: str
    measured: str


def aims(folder: Path = MEASURED) -> list[Aim]:
    """All aims, judged by the results in a folder."""
    found: list[Aim] = []
    for file in sorted(folder.glob("*/*.json")):
        judge = JUDGES.get(file.stem)
        if judge:
            found += judge(file.parent.name, read_json(file))
    return found


def selectors(source: str, result: Any) -> Iterator[Aim]:
    """What selecting costs."""
    cases = result["cases"]
    for device, name, wanted in (("cpu", "a CPU", 4), ("cuda", "a GPU", 20)):
        faster = [
            _Case(case["methods"]["gprune"]["speedup"], case["methods"]["gprune"]["speedup_interval"][1], _title(case))
            for case in cases
            if case["device"] == device
        ]
        text = f"G-Prune is {wanted} times faster than the released way on {name}"
        yield Aim(source, text, *(_counted(faster, wanted) if faster else (NOT_RUN, "no GPU was at hand")))
    same = [_Case(case["agreement"], 0, _title(case)) for case in cases if case["dtype"] == "float32"]
    yield Aim(source, "the same top-k in float32", *_counted(same, 1))


def prefill(source: str, result: Any) -> Iterator[Aim]:
    """Time to first token."""
    (pruned,) = [each["efficiency"] for each in result["ratios"] if each["ratio"] == 0.7]
    shown = _interval(pruned)
    yield Aim(source, "efficiency of 95 % at 70 %", _verdict(pruned["value"], pruned["high"], 0.95), shown)
    longer = result["overhead"]
    verdict = _verdict(-longer["value"], -longer["low"], -0.01)
    yield Aim(source, "at ratio 0 at most 1 % longer than stock", verdict, _interval(longer))


def serving(source: str, result: Any) -> Iterator[Aim]:
    """Throughput and latency under load."""
    for wanted in dict.fromkeys(each["aim"] for each in result["aims"]):
        rows = [each for each in result["aims"] if each["aim"] == wanted]
        verdicts = [each["verdict"] for each in rows]
        gains = [each["gain"] for each in rows]
        worst = min(rows, key=lambda each: float(each["gain"]))
        named = f"{worst['variant']}, {worst['arrival'].replace('-', ' ', 1)}"
        told = f"{_tally(verdicts)}: {min(gains):.2f} ({named}) to {max(gains):.2f}"
        yield Aim(source, wanted, _overall(verdicts), told)


def overhead(source: str, result: Any) -> Iterator[Aim]:
    """What the server's route costs."""
    for kind, found in result["requests"].items():
        longer = {name: value - 1 for name, value in found["ratio"].items()}
        verdict = _verdict(-longer["value"], -longer["low"], -0.01)
        yield Aim(source, f"p50 within 1 % of stock's: {kind}", verdict, _interval(longer))


def overload(source: str, result: Any) -> Iterator[Aim]:
    """The adaptive policy."""
    late = {name: course["ttft_s"]["p90"] for name, course in result["courses"].items()}
    recovery = result["courses"]["adaptive"]["recovery_s"]
    back = "never back at 0" if recovery is None else f"back at 0 after {recovery:.0f} s"
    told = (
        f"p90 of {late['adaptive']:.1f} s against {late['fixed']:.1f} s at ratio 0; objective "
        f"{result['load']['objective']:.1f} s; {back}"
    )
    wanted = "adaptive keeps the time to first token where ratio 0 does not, and returns to 0"
    yield Aim(source, wanted, MET if result["passed"] else MISSED, told)


JUDGES: dict[str, Callable[[str, Any], Iterator[Aim]]] = {
    "selectors": selectors,
    "prefill": prefill,
    "serving": serving,
    "overhead": overhead,
    "overload": overload,
}


@dataclass(frozen=True, slots=True)
class _Case:
    value: float
    best: float
    title: str


def _title(case: Any) -> str:
    return f"{case['tokens']} x {case['width']}, {case['dtype']}"


def _counted(cases: Sequence[_Case], wanted: float) -> tuple[str, str]:
    """The verdict on all cases, and how they spread."""
    verdicts = [_verdict(case.value, case.best, wanted) for case in cases]
    values, worst = [case.value for case in cases], min(cases, key=lambda case: case.value)
    return _overall(verdicts), f"{_tally(verdicts)}: {min(values):.3g} ({worst.title}) to {max(values):.3g}"


def _verdict(value: float, best: float, wanted: float) -> str:
    """Missed only if not even the better end of the interval meets the aim."""
    if value >= wanted:
        return MET
    return WITHIN if best >= wanted else MISSED


def _overall(verdicts: Sequence[str]) -> str:
    return next((verdict for verdict in (MISSED, WITHIN) if verdict in verdicts), MET)


def _tally(verdicts: Sequence[str]) -> str:
    return f"met in {verdicts.count(MET)} of {len(verdicts)} cases"


def _interval(estimate: Any) -> str:
    value, low, high = (percent(estimate[name], 1) for name in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def markdown(found: Sequence[Aim]) -> str:
    """The table."""
    rows = [(f"[{aim.source}](measured/{aim.source})", aim.wanted, aim.verdict, aim.measured) for aim in found]
    return table(HEADER, rows, text_columns=len(HEADER))


if __name__ == "__main__":
    write_text(RESULTS, fill(RESULTS.read_text(), {"aims": markdown(aims())}))
