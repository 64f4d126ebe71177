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
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from loadtest.arguments import add_servers, positive
from loadtest.cell import Arrival, Cell, closed_loop, poisson
from loadtest.driver import Driver
from loadtest.failure import status_of
from loadtest.gates import Result
from loadtest.images import generated
from loadtest.report import verdict
from loadtest.reporting import command_line, plots, table, write_report
from loadtest.servers import OURS, serving
from loadtest.serving.checkpoint import served
from loadtest.target import Target, reach, samples
from loadtest.workload import Workload

FIXED, ADAPTIVE = "fixed", "adaptive"
POLICIES = {FIXED: "", ADAPTIVE: "--prune-policy adaptive --adaptive-max-ratio 0.7 --adaptive-waiting-requests 4"}
OVERLOAD, OBJECTIVE = 1.4, 5.0
"""The rate of the burst, in those that can be answered, and the time to first token, in those of a request alone."""
CROWD = 4
"""Requests in flight for which the next ones always wait."""
PERCENTILES, PERCENTILE = (50, 90, 99), 90
"""The objective must hold for so many of a hundred requests."""
INTERVAL = 0.5
"""Seconds between two looks at a server."""
PATIENCE = 120.0
"""Seconds in which the ratio must be back where it was once the burst is over."""


class Load(NamedTuple):
    """Seconds to the first token of an unpruned request alone; requests a second that are answered, and that arrive."""

    alone: float
    capacity: float
    rate: float
    objective: float


class Look(NamedTuple):
    """What was seen at a time of `time.perf_counter`: the ratio of requests that name none, and how many wait."""

    time: float
    ratio: float
    waiting: float


class Course(NamedTuple):
    """The burst, looks at the server, when the burst was over, and a request after the ratio was back, or never was."""

    burst: Result
    looks: Sequence[Look]
    over: float
    after: Result

    @property
    def recovery(self) -> float | None:
        """Seconds from the end of the burst until the ratio was back where it began; None if it never was."""
        back = (look.time for look in self.looks if look.time >= self.over and look.ratio == self.looks[0].ratio)
        return next((time - self.over for time in back), None)

    def first_token(self, percentile: float) -> float:
        """A percentile of the times to first token in the burst, in seconds."""
        return float(np.percentile(self.burst["ttfts"], percentile))


def main(words: Sequence[str] | None = None) -> int:
    """Run the proof; return the exit status."""
    words = sys.argv[1:] if words is None else words
    arguments = parser().parse_args(words)
    return status_of(lambda: run(arguments, command_line("loadtest.overload", words)))


def parser() -> ArgumentParser:
    """The command line."""
    whole = ArgumentParser(
        "python -m loadtest.overload", description=__doc__, formatter_class=RawDescriptionHelpFormatter
    )
    add_servers(whole, 8)
    whole.add_argument("--requests", type=positive, default=40, help="in the burst (default: %(default)s)")
    text = "requests alone, and three times as many for the capacity (default: %(default)s)"
    whole.add_argument("--probes", type=positive, default=4, help=text)
    return whole


def run(arguments: Namespace, command: str) -> bool:
    """Put one server after the other through the burst; return whether the proof holds.

    Raises:
        LoadTestError: a server does not start, or a request is not answered.
    """
    model, *common = served(arguments.model, arguments.output / "checkpoint")
    load, courses = None, {}
    for policy, flags in POLICIES.items():
        words = [*common, *shlex.split(f"{flags} {arguments.server_arguments}")]
        with serving(OURS, model, words, arguments.output / policy) as url:
            load, courses[policy] = asyncio.run(ask(reach(url), arguments, load))
    assert load
    size, answer = "{} x {}".format(*arguments.size), arguments.max_tokens
    about = f"Model `{Path(model).name}`, unique images of {size}, answers of {answer} tokens; `{POLICIES[ADAPTIVE]}`."
    print(report(command, about, courses, load, arguments.output))
    return not unproven(courses, load)


async def ask(target: Target, arguments: Namespace, load: Load | None) -> tuple[Load, Course]:
    """Put a server through the burst, which is the same for each. Without a load, measure it first."""
    source = random.Random(arguments.seed)
    workload = Workload(generated(arguments.size, source), arguments.max_tokens)
    driver = Driver(target, workload, arguments.requests, source, {"ignore_eos": True})
    if load is None:
        others = random.Random(arguments.seed + 1)
        probes = replace(workload, images=generated(arguments.size, others))
        load = await measure_load(replace(driver, workload=probes, source=others), arguments.probes)
    return load, await run_course(driver, poisson(load.rate))


async def measure_load(driver: Driver, probes: int) -> Load:
    """Measure what an unpruned server can do, and choose what it cannot."""
    alone = await replace(driver, requests=probes).measure_whole(Cell((None,), closed_loop(1)))
    crowd = await replace(driver, requests=3 * probes).measure_whole(Cell((None,), closed_loop(CROWD)))
    first, capacity = float(np.median(alone["ttfts"])), float(crowd["request_throughput"])
    return Load(first, capacity, OVERLOAD * capacity, OBJECTIVE * first)


async def run_course(driver: Driver, arrival: Arrival) -> Course:
    """Put a server through a burst, and wait until it has recovered.

    Raises:
        LoadTestError: a request was not answered.
    """
    async with driver.target.watched(look_at, INTERVAL) as looks:
        while not looks:
            await asyncio.sleep(INTERVAL / 10)
        burst = await driver.measure_whole(Cell((None,), arrival))
        over = max(map(sum, zip(burst["start_times"], burst["latencies"], strict=True)))
        course = Course(burst, looks, over, {})
        while course.recovery is None and time.perf_counter() < over + PATIENCE:
            await asyncio.sleep(INTERVAL)
        after = await replace(driver, requests=1, warm_up=0).measure(Cell((None,), closed_loop(1)))
    return course._replace(after=after)


def look_at(text: str) -> Look:
    """Read what `/metrics` says now, summed over engines."""
    names = "gprune_adaptive_prune_ratio", "vllm:num_requests_waiting"
    return Look(time.perf_counter(), *(sum(sample.value for sample in samples(text, name)) for name in names))


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


def report(command: str, about: str, courses: Mapping[str, Course], load: Load, folder: Path) -> str:
    """Write `overload.json`, `overload.md` and `overload.png`; return the text."""
    found = unproven(courses, load)
    told = (
        f"Alone, an unpruned request has its first token after {load.alone:.2f} s, and the server answers "
        f"{load.capacity:.3g} of them a second. In the burst {load.rate:.3g} a second arrive as a Poisson process. "
        f"The objective is a first token within {load.objective:.1f} s, for {PERCENTILE} % of requests."
    )
    figures = {name: figures_of(course, load) for name, course in courses.items()}
    everything = {name: course._asdict() | figures[name] for name, course in courses.items()}
    content = {"about": about, "passed": not found, "faults": found, "load": load._asdict(), "courses": everything}
    rows = []
    for name, each in figures.items():
        values = [*each["ttft_s"].values(), *(value for key, value in each.items() if key != "ttft_s")]
        rows.append((name, *("never" if value is None else f"{value:.3g}" for value in values)))
    header = ("policy", *(f"TTFT p{percentile} (s)" for percentile in PERCENTILES), *list(figures[FIXED])[1:])
    body = [about, verdict(found), told, table([name.replace("_", " ") for name in header], rows)]
    return write_report(folder, "overload", "Overload", command, content, body, draw(courses, load))


def figures_of(course: Course, load: Load) -> dict[str, Any]:
    """The row of a table."""
    burst = course.burst
    return {
        "ttft_s": {f"p{percentile}": course.first_token(percentile) for percentile in PERCENTILES},
        "share_in_time": float(np.mean(np.asarray(burst["ttfts"]) <= load.objective)),
        "requests_per_s": burst["request_throughput"],
        "share_of_visual_tokens_kept": burst["visual_tokens_kept"] / burst["visual_tokens_input"],
        "largest_ratio": max(look.ratio for look in course.looks),
        "most_waiting": max(look.waiting for look in course.looks),
        "recovery_s": course.recovery,
    }


def draw(courses: Mapping[str, Course], load: Load) -> Figure:
    """Draw the time to first token of each request, and the ratio, over time."""
    figure, (tokens, ratios) = plots(2)
    for name, course in courses.items():
        began = min(course.burst["start_times"])
        tokens.plot(np.asarray(course.burst["start_times"]) - began, course.burst["ttfts"], "o", ms=3, label=name)
        times = [look.time - began for look in course.looks]
        ratios.step(times, [look.ratio for look in course.looks], where="post", label=name)
    tokens.axhline(load.objective, linestyle="--", color="black", lw=1, label="objective")
    tokens.set(ylabel="time to first token (s)", xlabel="sent after (s)")
    ratios.set(ylabel="pruning ratio", xlabel="seconds")
    tokens.legend()
    return figure


if __name__ == "__main__":
    sys.exit(main())
