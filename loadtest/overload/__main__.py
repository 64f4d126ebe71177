"""Prove adaptive pruning by an overload: more requests than can be answered unpruned, with and without it.

One server after the other goes through the same burst of unique images, on a checkpoint whose prefill dominates: one
that never prunes, and one with --prune-policy adaptive. First it is measured what the former can do. The exit status
is 0 if the adaptive one keeps the time to first token within the objective, the other does not, and the ratio returns
to 0 afterwards.
"""

import asyncio
import os
import random
import shlex
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from evaluation.arguments import positive
from evaluation.failure import EvaluationError
from evaluation.server import serving
from loadtest.arguments import sizes
from loadtest.arrival import ClosedLoop, Poisson
from loadtest.benchmarks.report import command_line
from loadtest.images import generated
from loadtest.measuring import Meter
from loadtest.overload.course import Course, measured, run_course
from loadtest.overload.report import Report
from loadtest.overload.verdict import ADAPTIVE, FIXED, Load
from loadtest.serving.checkpoint import write_checkpoint
from loadtest.target import Target
from loadtest.workload import Workload

COMMON = ("--limit-mm-per-prompt", '{"image": 1}')
CROWD = ClosedLoop(4)
UNUSABLE = 2


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
    except EvaluationError as error:
        print(f"error: {error}", file=sys.stderr)
        return UNUSABLE
    report = Report(
        command_line("loadtest.overload", words), about(arguments), {FIXED: fixed, ADAPTIVE: adaptive}, load
    )
    found = report.write(arguments.output)
    print((arguments.output / "overload.md").read_text())
    return 1 if found else 0


def parser() -> ArgumentParser:
    """The command line."""
    whole = ArgumentParser(
        "python -m loadtest.overload", description=__doc__, formatter_class=RawDescriptionHelpFormatter
    )
    whole.add_argument("--output", type=Path, required=True, help="folder for the report, the checkpoint and the logs")
    whole.add_argument("--model", help="a LLaVA-NeXT checkpoint (default: one with random weights, on a CPU's scale)")
    whole.add_argument("--requests", type=positive, default=40, help="in the burst (default: %(default)s)")
    whole.add_argument(
        "--probes",
        type=positive,
        default=4,
        help="requests alone, and three times as many for the capacity (default: 4)",
    )
    whole.add_argument("--overload", type=float, default=1.4, help="rate of the burst, in capacities (default: 1.4)")
    whole.add_argument(
        "--objective", type=float, default=5, help="time to first token, in those of a request alone (default: 5)"
    )
    whole.add_argument("--max-ratio", type=float, default=0.7, help="(default: %(default)s)")
    whole.add_argument("--waiting-requests", type=positive, default=4, help="that bring it (default: %(default)s)")
    whole.add_argument("--size", type=sizes, default=((672, 672),), help="of images (default: 672x672)")
    whole.add_argument("--max-tokens", type=positive, default=8, help="of an answer (default: %(default)s)")
    whole.add_argument("--server-arguments", default="", help="further arguments of both servers")
    whole.add_argument("--seed", type=int, default=0, help="of images and arrivals (default: %(default)s)")
    return whole


def go_through(policy: str, flags: Sequence[str], arguments: Namespace, load: Load | None) -> tuple[Load, Course]:
    """Start a server and put it through the burst. Without a load, it is measured first."""
    words = [arguments.model, *COMMON, *flags, *shlex.split(arguments.server_arguments)]
    with serving(words, arguments.output / f"{policy}.log") as url:
        return asyncio.run(ask(url, policy, arguments, load))


async def ask(url: str, policy: str, arguments: Namespace, load: Load | None) -> tuple[Load, Course]:
    """Send everything that is sent to one server."""
    async with Target(url, os.environ.get("VLLM_API_KEY", "")) as target:
        model = await target.model(None)
        if load is None:
            load = await measure_load(meter_of(target, model, arguments, arguments.seed + 1), arguments)
        meter = meter_of(target, model, arguments, arguments.seed)  # the same burst for each server
        return load, await run_course(policy, meter, Poisson(load.rate))


def meter_of(target: Target, model: str, arguments: Namespace, seed: int) -> Meter:
    """What sends requests, each with an image of its own."""
    source = random.Random(seed)
    workload = Workload(
        model, generated(arguments.size, source), max_tokens=arguments.max_tokens, fields={"ignore_eos": True}
    )
    return Meter(target, workload, arguments.requests, 2, source)


async def measure_load(meter: Meter, arguments: Namespace) -> Load:
    """Measure what an unpruned server can do, and choose what it cannot."""
    alone = await measured(_of(meter, arguments.probes), ClosedLoop(1))
    crowd = await measured(_of(meter, 3 * arguments.probes), CROWD)
    first, capacity = float(np.median([answer.ttft for answer in alone.answers])), len(crowd.answers) / crowd.seconds
    return Load(first, capacity, arguments.overload * capacity, arguments.objective * first)


def _of(meter: Meter, requests: int) -> Meter:
    return Meter(meter.target, meter.workload, requests, meter.warm_up, meter.source)


def about(arguments: Namespace) -> str:
    """How it was measured, in a sentence."""
    width, height = arguments.size[0]
    model = Path(arguments.model).name
    return (
        f"Model `{model}`, unique images of {width} x {height}, answers of {arguments.max_tokens} tokens, the largest "
        f"ratio {arguments.max_ratio:g} from {arguments.waiting_requests} waiting requests on."
    )


if __name__ == "__main__":
    sys.exit(main())
