"""Prove adaptive pruning by an overload: more requests than can be answered unpruned, with and without it.

One server after the other goes through the same burst of unique images, on a checkpoint whose prefill dominates: one
that never prunes, and one with --prune-policy adaptive. First it is measured what the former can do. The exit status
is 0 if the adaptive one keeps the time to first token within the objective, the other does not, and the ratio returns
to 0 afterwards.
"""

import asyncio
import random
import shlex
import sys
import time
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from loadtest.arguments import positive, sizes
from loadtest.cell import Arrival, Cell, closed_loop, poisson
from loadtest.driver import Driver, require
from loadtest.failure import LoadTestError
from loadtest.gates import Result, faults
from loadtest.images import generated
from loadtest.metrics import samples, watched
from loadtest.reporting import command_line, plots, table, write_report
from loadtest.servers import OURS, serving
from loadtest.serving.checkpoint import write_checkpoint
from loadtest.target import Target, reach
from loadtest.workload import Workload

FIXED, ADAPTIVE = "fixed", "adaptive"
COLOURS = {FIXED: "#7f7f7f", ADAPTIVE: "#d62728"}
RATIO, WAITING = "gprune_adaptive_prune_ratio", "vllm:num_requests_waiting"
CROWD = 4
"""Requests in flight for which the next ones always wait."""
PERCENTILE = 90
"""The objective must hold for so many of a hundred requests."""
INTERVAL = 0.5
"""Seconds between two looks at a server."""
PATIENCE = 120.0
"""Seconds in which the ratio must be back where it was once the burst is over."""
UNUSABLE = 2


@dataclass(frozen=True, slots=True)
class Load:
    """What the servers are put through.

    Attributes:
        alone: seconds to the first token of an unpruned request that is alone; the median.
        capacity: unpruned requests a second that are answered when the next ones always wait.
        rate: requests a second that arrive.
        objective: seconds that a first token may take.
    """

    alone: float
    capacity: float
    rate: float
    objective: float


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen at a time of `time.perf_counter`: the ratio of requests that name none, and how many wait."""

    time: float
    ratio: float
    waiting: float


@dataclass(frozen=True, slots=True)
class Course:
    """A burst and what followed. Times are those of `time.perf_counter`.

    Attributes:
        burst: the results of its requests.
        looks: at the server, from the first request on.
        over: when the last request of the burst was answered.
        after: the result of a request that came when the ratio was back, or when patience was lost.
    """

    burst: Result
    looks: Sequence[Look]
    over: float
    after: Result

    @property
    def began(self) -> float:
        """When the first request of the burst was sent."""
        return float(min(self.burst["start_times"]))

    @property
    def recovery(self) -> float | None:
        """Seconds from the end of the burst until the ratio was back where it began; None if it never was."""
        back = (look.time for look in self.looks if look.time >= self.over and look.ratio == self.looks[0].ratio)
        first = next(back, None)
        return None if first is None else max(0.0, first - self.over)

    def first_token(self, percentile: float) -> float:
        """A percentile of the times to first token in the burst, in seconds."""
        return float(np.percentile(self.burst["ttfts"], percentile))


def main(words: Sequence[str] | None = None) -> int:
    """Run the proof; return the exit status."""
    words = sys.argv[1:] if words is None else words
    arguments = parser().parse_args(words)
    arguments.model = arguments.model or str(write_checkpoint(arguments.output / "checkpoint"))
    try:
        load, fixed = go_through(FIXED, (), arguments, None)
        policy = ("--prune-policy", ADAPTIVE, "--adaptive-max-ratio", str(arguments.max_ratio))
        queue = ("--adaptive-waiting-requests", str(arguments.waiting_requests))
        _, adaptive = go_through(ADAPTIVE, (*policy, *queue), arguments, load)
    except LoadTestError as error:
        print(f"error: {error}", file=sys.stderr)
        return UNUSABLE
    courses = {FIXED: fixed, ADAPTIVE: adaptive}
    print(report(command_line("loadtest.overload", words), about(arguments), courses, load, arguments.output))
    return 1 if unproven(courses, load) else 0


def parser() -> ArgumentParser:
    """The command line."""
    whole = ArgumentParser(
        "python -m loadtest.overload", description=__doc__, formatter_class=RawDescriptionHelpFormatter
    )
    whole.add_argument("--output", type=Path, required=True, help="folder for the report, the checkpoint and the logs")
    whole.add_argument("--model", help="a LLaVA-NeXT checkpoint (default: one with random weights, on a CPU's scale)")
    whole.add_argument("--requests", type=positive, default=40, help="in the burst (default: %(default)s)")
    whole.add_argument("--probes", type=positive, default=4, help="to measure the load (default: %(default)s)")
    whole.add_argument("--overload", type=float, default=1.4, help="times what can be answered (default: %(default)s)")
    whole.add_argument("--objective", type=float, default=5.0, help="times the first token alone (default: 5)")
    whole.add_argument("--max-ratio", type=float, default=0.7, help="(default: %(default)s)")
    whole.add_argument("--waiting-requests", type=positive, default=4, help="that bring it (default: %(default)s)")
    whole.add_argument("--size", type=sizes, default=((672, 672),), help="of images (default: 672x672)")
    whole.add_argument("--max-tokens", type=positive, default=8, help="of an answer (default: %(default)s)")
    whole.add_argument("--server-arguments", default="", help="further arguments of both servers")
    whole.add_argument("--seed", type=int, default=0, help="of images and arrivals (default: %(default)s)")
    return whole


def go_through(policy: str, flags: Sequence[str], arguments: Namespace, load: Load | None) -> tuple[Load, Course]:
    """Start a server and put it through the burst. Without a load, it is measured first."""
    words = [*flags, *shlex.split(arguments.server_arguments)]
    with serving(OURS, arguments.model, words, arguments.output / policy) as url:
        return asyncio.run(ask(reach(url), arguments, load))


async def ask(target: Target, arguments: Namespace, load: Load | None) -> tuple[Load, Course]:
    """Send everything that is sent to one server."""
    if load is None:
        load = await measure_load(driver_of(target, arguments, arguments.seed + 1), arguments)
    return load, await run_course(driver_of(target, arguments, arguments.seed), poisson(load.rate))


def driver_of(target: Target, arguments: Namespace, seed: int) -> Driver:
    """Make what sends requests, each with an image of its own; the same burst for each server."""
    source = random.Random(seed)
    workload = Workload(generated(arguments.size, source), max_tokens=arguments.max_tokens)
    return Driver(target, workload, arguments.requests, 2, source, {"ignore_eos": True})


async def measure_load(driver: Driver, arguments: Namespace) -> Load:
    """Measure what an unpruned server can do, and choose what it cannot."""
    alone = await measured(replace(driver, requests=arguments.probes), closed_loop(1))
    crowd = await measured(replace(driver, requests=3 * arguments.probes), closed_loop(CROWD))
    first, capacity = float(np.median(alone["ttfts"])), float(crowd["request_throughput"])
    return Load(first, capacity, arguments.overload * capacity, arguments.objective * first)


async def measured(driver: Driver, arrival: Arrival) -> Result:
    """Measure requests that name no ratio.

    Raises:
        LoadTestError: one was not answered.
    """
    result = await driver.measure(Cell((None,), arrival))
    require(result, faults([result]))
    return result


async def run_course(driver: Driver, arrival: Arrival) -> Course:
    """Put a server through a burst, and wait until it has recovered.

    Raises:
        LoadTestError: a request was not answered.
    """
    async with watched(driver.target.metrics_urls, look_at, INTERVAL) as looks:
        while not looks:
            await asyncio.sleep(INTERVAL / 10)
        burst = await measured(driver, arrival)
        over = max(map(sum, zip(burst["start_times"], burst["latencies"], strict=True)))
        while time.perf_counter() < over + PATIENCE and not (
            looks[-1].time >= over and looks[-1].ratio == looks[0].ratio
        ):
            await asyncio.sleep(INTERVAL)
        after = await replace(driver, requests=1, warm_up=0).measure(Cell((None,), closed_loop(1)))
    return Course(burst, tuple(looks), over, after)


def look_at(text: str) -> Look:
    """Read what `/metrics` says now, summed over engines."""
    ratio, waiting = (sum(sample.value for sample in samples(text, name)) for name in (RATIO, WAITING))
    return Look(time.perf_counter(), ratio, waiting)


def unproven(courses: Mapping[str, Course], load: Load) -> list[str]:
    """All that the run fails to prove, in sentences."""
    fixed, adaptive = courses[FIXED], courses[ADAPTIVE]
    late, after = adaptive.first_token(PERCENTILE), adaptive.after
    whole = after["completed"] == 1 and after["visual_tokens_kept"] == after["visual_tokens_input"] is not None
    claims = {
        "the rate is one that unpruned serving sustains": load.rate > load.capacity,
        "ratio 0 met the objective as well: the load shows nothing": fixed.first_token(PERCENTILE) > load.objective,
        f"adaptive: p{PERCENTILE} of {late:.1f} s misses the objective": late <= load.objective,
        "adaptive: the ratio never rose": max(look.ratio for look in adaptive.looks) > 0,
        "adaptive: the ratio did not return to 0": adaptive.recovery is not None,
        "adaptive: a request after the burst was not answered whole and unpruned": whole,
    }
    return [claim for claim, holds in claims.items() if not holds]


def about(arguments: Namespace) -> str:
    """Tell in a sentence how it was measured."""
    width, height = arguments.size[0]
    return (
        f"Model `{Path(arguments.model).name}`, unique images of {width} x {height}, answers of {arguments.max_tokens} "
        f"tokens, the largest ratio {arguments.max_ratio:g} from {arguments.waiting_requests} waiting requests on."
    )


def report(command: str, sentence: str, courses: Mapping[str, Course], load: Load, folder: Path) -> str:
    """Write `overload.json`, `overload.md` and `overload.png`; return the text."""
    found = unproven(courses, load)
    verdict = "Passed." if not found else "\n".join(["Failed:", "", *(f"- {fault}" for fault in found)])
    told = (
        f"Alone, an unpruned request has its first token after {load.alone:.2f} s, and the server answers "
        f"{load.capacity:.3g} of them a second. In the burst {load.rate:.3g} a second arrive, "
        f"{load.rate / load.capacity:.2f} times as many, as a Poisson process. The objective is a first token "
        f"within {load.objective:.1f} s, for {PERCENTILE} % of requests."
    )
    figures = {name: figures_of(course, load) for name, course in courses.items()}
    content = {
        "about": sentence,
        "passed": not found,
        "faults": found,
        "load": asdict(load),
        "courses": {
            name: {
                "ttft_s": {f"p{percentile}": course.first_token(percentile) for percentile in (50, PERCENTILE, 99)},
                "recovery_s": course.recovery,
                "figures": figures[name],
                "burst": course.burst,
                "after": course.after,
                "looks": [asdict(look) for look in course.looks],
            }
            for name, course in courses.items()
        },
    }
    rows = [
        (name, *("never" if value is None else f"{value:.3g}" for value in each.values()))
        for name, each in figures.items()
    ]
    body = [sentence, verdict, told, table(["policy", *figures[FIXED]], rows)]
    return write_report(folder, "overload", "Overload", command, content, body, draw(courses, load))


def figures_of(course: Course, load: Load) -> dict[str, float | None]:
    """The row of a table."""
    burst = course.burst
    return {
        "requests": burst["completed"],
        **{f"TTFT p{percentile} (s)": course.first_token(percentile) for percentile in (50, PERCENTILE, 99)},
        "share in time": float(np.mean(np.asarray(burst["ttfts"]) <= load.objective)),
        "requests/s": burst["request_throughput"],
        "share of visual tokens kept": burst["visual_tokens_kept"] / burst["visual_tokens_input"],
        "largest ratio": max(look.ratio for look in course.looks),
        "most waiting": max(look.waiting for look in course.looks),
        "ratio back after (s)": course.recovery,
    }


def draw(courses: Mapping[str, Course], load: Load) -> Figure:
    """Draw the time to first token of each request, and the ratio, over time."""
    figure, (tokens, ratios) = plots(2)
    for name, course in courses.items():
        began, colour = course.began, COLOURS.get(name)
        sent = sorted(zip(course.burst["start_times"], course.burst["ttfts"], strict=True))
        starts = [start - began for start, _ in sent]
        tokens.plot(starts, [ttft for _, ttft in sent], "o-", ms=3, lw=1, label=name, color=colour)
        times = [look.time - began for look in course.looks]
        ratios.step(times, [look.ratio for look in course.looks], where="post", label=name, color=colour)
    tokens.axhline(load.objective, linestyle="--", color="black", lw=1, label="objective")
    tokens.set(ylabel="time to first token (s)", xlabel="sent after (s)")
    ratios.set(ylabel="pruning ratio", xlabel="seconds")
    for axes in (tokens, ratios):
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
    tokens.legend()
    return figure


if __name__ == "__main__":
    sys.exit(main())
