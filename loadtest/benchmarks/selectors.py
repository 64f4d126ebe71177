"""What each selection method costs, at the shapes of a crop and of four, against G-Prune as it was released."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from operator import truediv
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from evaluation.arguments import positive
from evaluation.markdown import table
from gprune_vllm.selectors import select_tokens, selector_names
from loadtest.benchmarks.breakdown import parts_of
from loadtest.benchmarks.features import features_of, seen_of
from loadtest.benchmarks.released import released_top_k
from loadtest.benchmarks.report import add_output, command_line, percent, write_report
from loadtest.benchmarks.timing import Times, duration, interval, measure, stopwatch

RELEASED, WIDENED, GPRUNE = "released", "released, float32", "gprune"
RATIO = 0.7
OWN_COLOURS = {RELEASED: "black", WIDENED: "dimgrey"}
TOKENS, WIDTHS, DTYPES = (576, 2304), (1024, 4096), ("float32", "bfloat16")


@dataclass(frozen=True, slots=True)
class Case:
    """What is selected from."""

    device: str
    tokens: int
    width: int
    dtype: str

    def __str__(self) -> str:
        return f"{self.device}, {self.tokens} x {self.width}, {self.dtype}"

    @property
    def keep(self) -> int:
        """How many tokens stay."""
        return max(1, int(round((1 - RATIO) * self.tokens, 6)))


@dataclass(frozen=True, slots=True)
class Result:
    """What one case took.

    Attributes:
        times: of the released way, in the features' dtype and in float32, and of each method.
        parts: of G-Prune's steps.
        agreement: share of the tokens that G-Prune keeps which the released way keeps too, in float32.
    """

    case: Case
    times: dict[str, Times]
    parts: dict[str, Times]
    agreement: float

    def speedup(self, method: str, baseline: str = RELEASED) -> float:
        """How many times faster a method is than the released way."""
        return self.times[baseline].median / self.times[method].median

    def as_json(self) -> dict[str, Any]:
        """Everything, for a file."""
        methods = {
            name: {
                **times.as_json(),
                "speedup": self.speedup(name),
                "speedup_interval": interval(truediv, self.times[RELEASED], times),
            }
            for name, times in self.times.items()
        }
        return {
            **asdict(self.case),
            "kept": self.case.keep,
            "agreement": self.agreement,
            "methods": methods,
            "parts": {name: times.as_json() for name, times in self.parts.items()},
        }


def add_arguments(parser: ArgumentParser) -> None:
    add_output(parser)
    parser.add_argument("--rounds", type=positive, default=15, help="of each measurement (default: %(default)s)")
    parser.add_argument("--tokens", type=positive, nargs="+", default=TOKENS, help="to select from")
    parser.add_argument("--widths", type=positive, nargs="+", default=WIDTHS, help="of these tokens")
    parser.add_argument("--devices", nargs="+", default=devices(), help="default: all there are")


def run(arguments: Namespace) -> None:
    cases = [
        Case(device, tokens, width, dtype)
        for device in arguments.devices
        for tokens in arguments.tokens
        for width in arguments.widths
        for dtype in DTYPES
    ]
    results = [run_case(case, arguments.rounds) for case in tqdm(cases, unit="case")]
    command = command_line("loadtest.benchmarks", arguments.words)
    report(results, arguments.output, command)


def devices() -> list[str]:
    """The devices of this machine."""
    return ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


@torch.inference_mode()
def run_case(case: Case, rounds: int) -> Result:
    """Measure all methods and G-Prune's parts."""
    features = features_of(case.tokens, case.width, getattr(torch, case.dtype), case.device)
    seen, clock = seen_of(case.tokens, case.device), stopwatch(case.device)
    released = set(released_top_k(features.float(), case.keep).tolist())
    ours = set(select_tokens(features, case.keep, GPRUNE).index.tolist())

    def timed(work: Callable[[], object]) -> Callable[[], float]:
        return lambda: clock(work)

    works = {
        RELEASED: timed(lambda: released_top_k(features, case.keep)),
        WIDENED: timed(lambda: released_top_k(features.float(), case.keep)),
    }
    for name in selector_names():
        works[name] = timed(lambda name=name: select_tokens(features, case.keep, name, **seen))  # type: ignore[misc]
    return Result(
        case=case,
        times=measure(works, rounds),
        parts=measure({name: timed(part) for name, part in parts_of(features, case.keep).items()}, rounds),
        agreement=len(ours & released) / case.keep,
    )


def report(results: Sequence[Result], folder: Path, command: str) -> None:
    """Write selectors.json, selectors.md and selectors.png."""
    names = list(results[0].times)
    header = ["median", *names, f"{GPRUNE} is faster by", "than in float32 by", "same tokens"]
    rows = [
        [
            result.case,
            *(duration(times.median) for times in result.times.values()),
            f"{result.speedup(GPRUNE):.1f} x",
            f"{result.speedup(GPRUNE, WIDENED):.1f} x",
            percent(result.agreement),
        ]
        for result in results
    ]
    parts = [[result.case, *(str(times) for times in result.parts.values())] for result in results]
    spread = [[result.case, str(result.times[RELEASED]), str(result.times[GPRUNE])] for result in results]
    body = [
        f"{percent(RATIO, 0)} of the tokens are pruned; torch has {torch.get_num_threads()} threads. *{RELEASED}* is "
        "G-Prune with a softmax and a `matrix_power`, in the features' own dtype, or widened to float32 as the methods "
        f"do. *same tokens*: of those that {GPRUNE} keeps, how many the latter keeps too.",
        table(header, rows),
        "Medians and quartiles of both:",
        table(["", RELEASED, GPRUNE], spread),
        f"Where the time of {GPRUNE} goes, each step by itself:",
        table(["", *results[0].parts], parts),
        "![Times of all methods](selectors.png)",
    ]
    content = {"ratio": RATIO, "cases": [result.as_json() for result in results]}
    write_report(folder, "selectors", "Cost of selecting", command, content, body)
    draw(results, names, folder / "selectors.png")


def draw(results: Sequence[Result], methods: Sequence[str], file: Path) -> None:
    """A group of bars for each case, a bar for each method."""
    from evaluation.figures.canvas import COLOURS, save, subplots

    figure, (axes,) = subplots(1, width=max(10.0, 1.4 * len(results)), heights=[4.5])
    width = 0.8 / len(methods)
    for place, name in enumerate(methods):
        times = [result.times[name] for result in results]
        across = [group + (place - (len(methods) - 1) / 2) * width for group in range(len(results))]
        below = [1000 * (each.median - each.quartiles[0]) for each in times]
        above = [1000 * (each.quartiles[1] - each.median) for each in times]
        heights = [1000 * each.median for each in times]
        colour = OWN_COLOURS.get(name) or COLOURS.get(name)
        axes.bar(across, heights, width, yerr=(below, above), label=name, color=colour, error_kw={"elinewidth": 0.6})
    axes.set_yscale("log")
    labels = [str(result.case).replace(", ", "\n") for result in results]
    axes.set_xticks(range(len(results)), labels, fontsize=8)
    axes.set_ylabel("ms, median and quartiles")
    figure.legend(loc="outside lower center", ncols=len(methods))
    save(figure, file)
