"""What each selection method costs, at the shapes of a crop and of four, against G-Prune as it was released."""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from gprune_vllm.methods.registry import select_tokens, selector_names
from gprune_vllm.plan import PruneSpec
from loadtest.arguments import positive
from loadtest.benchmarks.features import features_of, seen_of, shape_of
from loadtest.benchmarks.released import parts_of, released_top_k
from loadtest.benchmarks.timing import add_measurement, in_rounds, repeated
from loadtest.reporting import as_json, duration, durations, percent, plots, quartiles, ratio, table, write_report

RELEASED, WIDENED, GPRUNE = "released", "released, float32", "gprune"
RATIO = 0.7
TOKENS, WIDTHS, DTYPES = (576, 2304), (1024, 4096), ("float32", "bfloat16")


def add_arguments(parser: ArgumentParser) -> None:
    """Add what this benchmark may be told."""
    add_measurement(parser, rounds=15)
    parser.add_argument("--tokens", type=positive, nargs="+", default=TOKENS, help="to select from")
    parser.add_argument("--widths", type=positive, nargs="+", default=WIDTHS, help="of these tokens")


def run(arguments: Namespace, command: str) -> str:
    """Measure, write selectors.json, selectors.md and selectors.png, and return the text."""
    chosen = product((arguments.device,), arguments.tokens, arguments.widths, DTYPES)
    results = [measure(*case, rounds=arguments.rounds) for case in chosen]
    content, body = {"ratio": RATIO, "cases": results}, as_markdown(results)
    return write_report(arguments.output, "selectors", "Cost of selecting", command, content, body, draw(results))


@torch.inference_mode()
def measure(device: str, tokens: int, width: int, dtype: str, rounds: int) -> dict[str, Any]:
    """Time all methods and G-Prune's parts, as the JSON file has it.

    `agreement` is the share of the tokens that G-Prune keeps which the released way keeps too, in float32.
    """
    keep = PruneSpec(RATIO).count_kept(tokens)
    features = features_of(tokens, width, getattr(torch, dtype), device)
    released = set(released_top_k(features.float(), keep).tolist())
    ours = set(select_tokens(features, keep, GPRUNE).index.tolist())
    times = _timed(methods_of(features, keep), rounds)
    return {
        "device": device,
        "tokens": tokens,
        "width": width,
        "dtype": dtype,
        "kept": keep,
        "agreement": len(ours & released) / keep,
        "methods": {name: as_json(each) | _speedup(times[RELEASED], each) for name, each in times.items()},
        "parts": {name: as_json(each) for name, each in _timed(parts_of(features, keep), rounds).items()},
    }


def methods_of(features: torch.Tensor, keep: int) -> dict[str, Callable[[], object]]:
    """Name the released way, in the features' dtype and widened to float32, and every method that is registered."""
    seen, shape = seen_of(len(features), features.device.type), shape_of(len(features))

    def select(method: str) -> Callable[[], object]:
        return lambda: select_tokens(features, keep, method, shape=shape, **seen)

    return {
        RELEASED: lambda: released_top_k(features, keep),
        WIDENED: lambda: released_top_k(features.float(), keep),
        **{name: select(name) for name in selector_names()},
    }


def _timed(works: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    return in_rounds({name: repeated(work) for name, work in works.items()}, rounds)


def _speedup(released: Sequence[float], seconds: Sequence[float]) -> dict[str, Any]:
    """How many times faster than the released way, with its interval."""
    faster = ratio(released, seconds)
    return {"speedup": faster["value"], "speedup_interval": [faster["low"], faster["high"]]}


def as_markdown(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """Tell what there is to know at a glance."""
    header = ["median", *results[0]["methods"], f"{GPRUNE} is faster by", "than in float32 by", "same tokens"]
    parts = [[_title(each), *(durations(part["seconds"]) for part in each["parts"].values())] for each in results]
    return [
        f"{percent(RATIO, 0)} of the tokens are pruned; torch has {torch.get_num_threads()} threads. *{RELEASED}* is "
        "G-Prune with a softmax and a `matrix_power`, in the features' own dtype, or widened to float32 as the methods "
        f"do. *same tokens*: of those that {GPRUNE} keeps, how many the latter keeps too.",
        table(header, map(_row, results)),
        f"Where the time of {GPRUNE} goes, each step by itself, with quartiles:",
        table(["", *results[0]["parts"]], parts),
    ]


def _row(result: Mapping[str, Any]) -> list[str]:
    medians = {name: method["median"] for name, method in result["methods"].items()}
    faster = [f"{medians[name] / medians[GPRUNE]:.1f} x" for name in (RELEASED, WIDENED)]
    return [_title(result), *map(duration, medians.values()), *faster, percent(result["agreement"])]


def _title(result: Mapping[str, Any]) -> str:
    return "{device}, {tokens} x {width}, {dtype}".format(**result)


def draw(results: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw a group of bars for each case, a bar for each method."""
    figure, (axes,) = plots(width=max(10.0, 1.4 * len(results)), height=4.5)
    names = list(results[0]["methods"])
    width = 0.8 / len(names)
    for place, name in enumerate(names):
        across = [group + (place - (len(names) - 1) / 2) * width for group in range(len(results))]
        times = np.array([quartiles(result["methods"][name]["seconds"]) for result in results]).T  # [3, cases]
        spread = np.abs(times[::2] - times[1])
        axes.bar(across, times[1], width, yerr=spread, label=name, error_kw={"elinewidth": 0.6})
    axes.set_yscale("log")
    axes.set_xticks(range(len(results)), [_title(each).replace(", ", "\n") for each in results], fontsize=8)
    axes.set_ylabel("s, median and quartiles")
    figure.legend(loc="outside lower center", ncols=5)
    return figure
