"""Time to first token with pruned pictures, against stock vLLM and against the least that it could be.

The least is what stock vLLM takes for a text of the pruned length, and the vision tower by itself. Models have their
real widths and random weights; the language model may have fewer layers. Every picture and text is new, and nothing is
cached.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from matplotlib.figure import Figure

from loadtest.arguments import positive
from loadtest.benchmarks.engine import Engine, Question, engine
from loadtest.benchmarks.shapes import SHAPES, Shape, write_model
from loadtest.benchmarks.timing import add_measurement, in_rounds
from loadtest.reporting import as_json, duration, durations, estimate, percent, percents, plots, table, write_report

RATIOS = (0.0, 0.5, 0.7, 0.9)
QUESTION_LENGTH = 16
"""Tokens of a prompt beside its picture's."""
CPU_LAYERS = 8
"""Of the language model, where no GPU runs it: with more of them a round takes minutes."""
STOCK, TOWER = "stock", "tower"

Times = Mapping[str, Sequence[float]]
"""Seconds in the order of rounds of `stock`, `tower`, and at each ratio `ours RATIO` and `text RATIO`."""


def add_arguments(parser: ArgumentParser) -> None:
    """Add what this benchmark may be told."""
    add_measurement(parser, rounds=7)
    parser.add_argument("--ratios", type=float, nargs="+", default=RATIOS, help="default: %(default)s")
    parser.add_argument("--model-shape", choices=SHAPES, default="8b", help="default: %(default)s")
    parser.add_argument("--layers", type=positive, help=f"of the decoder (default: all on a GPU, else {CPU_LAYERS})")


def run(arguments: Namespace, command: str) -> str:
    """Measure, write prefill.json, prefill.md and prefill.png, and return the text."""
    shape = SHAPES[arguments.model_shape]
    published = shape.text["num_hidden_layers"]
    layers = arguments.layers or (published if arguments.device == "cuda" else min(CPU_LAYERS, published))
    lengths = {ratio: QUESTION_LENGTH + shape.plan(ratio).kept for ratio in sorted({0.0, *arguments.ratios})}
    with (
        TemporaryDirectory() as folder,
        engine(write_model(Path(folder), shape, layers), False, arguments.device) as stock,
        engine(Path(folder), True, arguments.device) as ours,
    ):
        times = in_rounds(works(stock, ours, shape, lengths), arguments.rounds)
    content = {
        "model_shape": arguments.model_shape,
        "device": arguments.device,
        "layers": layers,
        "published_layers": published,
        "overhead": overhead(times),
        "ratios": [row(times, ratio, length) for ratio, length in lengths.items()],
        "times": {name: as_json(seconds) for name, seconds in times.items()},
    }
    body, figure = as_markdown(content, times), draw(content, times)
    return write_report(arguments.output, "prefill", "Time to first token", command, content, body, figure)


def works(stock: Engine, ours: Engine, shape: Shape, lengths: Mapping[float, int]) -> dict[str, Callable[[], float]]:
    """Make what asks both engines, by the names of `Times`.

    Args:
        lengths: of prompts in tokens, by ratio.
    """
    seeds = count()

    def ask(asked: Engine, length: int, expected: int, ratio: float | None = None) -> Callable[[], float]:
        """Ask about the picture, or a text where there is no ratio."""

        def seconds() -> float:
            picture = None if ratio is None else shape.picture
            taken, found = asked.ask(Question(length, picture, ratio or 0.0, next(seeds)))
            if found != expected:
                raise RuntimeError(f"a prompt of {found} tokens should have {expected}")
            return taken

        return seconds

    return {
        STOCK: ask(stock, QUESTION_LENGTH, lengths[0.0], 0.0),
        TOWER: lambda: stock.tower(shape.plan(0.0).units),
        **{f"text {ratio:g}": ask(stock, length, length) for ratio, length in lengths.items()},
        **{f"ours {ratio:g}": ask(ours, QUESTION_LENGTH, length, ratio) for ratio, length in lengths.items()},
    }


def overhead(times: Times) -> dict[str, float]:
    """Tell by how much longer than stock vLLM it takes at ratio 0, as a share."""
    return estimate(lambda ours, stock: ours / stock - 1, times["ours 0"], times[STOCK])


def row(times: Times, ratio: float, length: int) -> dict[str, Any]:
    """Tell what one ratio saves.

    `efficiency` is the share of what the ideal saves that is saved. `language_efficiency` is the same where the ideal
    saves nothing but prompt tokens: all else that a picture costs stock vLLM, decoding and resizing it for one, it
    costs the ideal too.
    """
    stock, tower, full = times[STOCK], times[TOWER], times["text 0"]
    ours, text = times[f"ours {ratio:g}"], times[f"text {ratio:g}"]
    return {
        "ratio": ratio,
        "prompt_tokens": length,
        "ideal": median(text) + median(tower),
        "efficiency": estimate(lambda s, o, x, t: (s - o) / (s - x - t), stock, ours, text, tower),
        "language_efficiency": estimate(lambda s, o, x, f: (s - o) / (f - x), stock, ours, text, full),
    }


def as_markdown(content: Mapping[str, Any], times: Times) -> list[str]:
    """Tell what there is to know at a glance."""
    header = ["pruned", "prompt tokens", "ours", "stock / ours", "text of that length", "ideal", "efficiency"]
    rows = [
        [
            percent(ratio := found["ratio"], 0),
            found["prompt_tokens"],
            durations(times[f"ours {ratio:g}"]),
            f"{median(times[STOCK]) / median(times[f'ours {ratio:g}']):.2f} x",
            durations(times[f"text {ratio:g}"]),
            duration(found["ideal"]),
            *(percents(found[name]) if ratio else "" for name in ("efficiency", "language_efficiency")),
        ]
        for found in content["ratios"]
    ]
    return [
        f"LLaVA-NeXT in its {content['model_shape']} shape with random weights, {content['layers']} of "
        f"{content['published_layers']} layers of the language model. Medians of {len(times[STOCK])} rounds with "
        "quartiles, shares with 95 % confidence intervals.",
        f"Stock vLLM without pruning: {durations(times[STOCK])}. The tower by itself: {durations(times[TOWER])}. "
        f"Overhead at ratio 0: {percents(content['overhead'], 2)}.",
        table([*header, "of the prompt alone"], rows),
        "*ideal* is stock vLLM with a text of that length, and the tower; *efficiency* is (stock - ours) / (stock - "
        "ideal). *of the prompt alone*: the same where the ideal keeps all that a picture costs beside its tokens.",
    ]


def draw(content: Mapping[str, Any], times: Times) -> Figure:
    """Draw times to first token against the ratio."""
    figure, (axes,) = plots(width=6)
    across = [100 * found["ratio"] for found in content["ratios"]]
    ours = [as_json(times[f"ours {found['ratio']:g}"]) for found in content["ratios"]]
    axes.axhline(median(times[STOCK]), color="black", label="stock vLLM, not pruned")
    axes.plot(across, [each["median"] for each in ours], color="#d62728", marker="o", label="pruned")
    axes.fill_between(across, *zip(*(each["quartiles"] for each in ours), strict=True), color="#d62728", alpha=0.3)
    axes.plot(across, [found["ideal"] for found in content["ratios"]], color="grey", ls="--", label="ideal")
    axes.axhline(median(times[TOWER]), color="grey", ls=":", label="the tower by itself")
    axes.set(xlabel="visual tokens pruned (%)", ylabel="time to first token (s)", ylim=(0, None))
    axes.legend()
    return figure
