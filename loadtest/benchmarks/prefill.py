"""Time to first token with pruned pictures, against stock vLLM and against the least that it could be.

The least is what stock vLLM takes for a text of the pruned length, and the vision tower by itself. Models have their
real widths and random weights; the language model may have fewer layers. Every picture and text is new, and nothing is
cached.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from evaluation.arguments import positive
from evaluation.server import has_gpu
from loadtest.benchmarks.efficiency import OURS, RATIOS, STOCK, TEXT, TOWER, Prefill, name_of
from loadtest.benchmarks.engine import QUESTION_LENGTH, Engine, Engines, Question
from loadtest.benchmarks.prefill_report import report
from loadtest.benchmarks.report import add_output, command_line
from loadtest.benchmarks.shapes import SHAPES, Shape, write_checkpoint
from loadtest.benchmarks.timing import Times, joined, measure

CPU_LAYERS = 8
"""Of the language model, where no GPU runs it: with more of them a round takes minutes."""
TURNS = 2
"""How often each engine starts where two do not fit beside each other."""

Work = Callable[[], float]


def add_arguments(parser: ArgumentParser) -> None:
    add_output(parser)
    parser.add_argument("--rounds", type=positive, default=7, help="in which all is measured (default: %(default)s)")
    parser.add_argument("--ratios", type=float, nargs="+", default=RATIOS, help="default: %(default)s")
    parser.add_argument("--apart", action="store_true", help="run one engine at a time, in turns: two do not fit")
    add_model_shape(parser)


def add_model_shape(parser: ArgumentParser) -> None:
    """What is run."""
    parser.add_argument("--model-shape", choices=SHAPES, default="8b", help="default: %(default)s")
    parser.add_argument(
        "--layers", type=positive, help=f"of the language model (default: all of them on a GPU, else {CPU_LAYERS})"
    )


def run(arguments: Namespace) -> None:
    shape = SHAPES[arguments.model_shape]
    layers = arguments.layers or layers_of(shape)
    ratios = sorted({0.0, *arguments.ratios})
    times = measure_prefill(shape, layers, ratios, arguments.rounds, arguments.apart, arguments.output)
    command = command_line("loadtest.benchmarks", arguments.words)
    result = Prefill(arguments.model_shape, layers, shape.decoder.layers, lengths_of(shape, ratios), times)
    report(result, arguments.output, command)


def layers_of(shape: Shape) -> int:
    """Layers of the language model that this machine can run."""
    return shape.decoder.layers if has_gpu() else min(CPU_LAYERS, shape.decoder.layers)


def lengths_of(shape: Shape, ratios: Sequence[float]) -> dict[float, int]:
    """Tokens of a prompt at each ratio."""
    return {ratio: QUESTION_LENGTH + shape.plan(shape.picture, ratio).kept for ratio in ratios}


def measure_prefill(
    shape: Shape, layers: int, ratios: Sequence[float], rounds: int, apart: bool, output: Path
) -> dict[str, Times]:
    """What everything takes, by the names of `loadtest.benchmarks.efficiency`.

    Args:
        apart: whether engines run one after the other, in turns.
        output: folder for the engines' logs.
    """
    seeds = count()

    def works_of(running: Engine, plugin: bool) -> dict[str, Work]:
        return works(running, plugin, shape, ratios, seeds)

    with TemporaryDirectory() as folder:
        engines = Engines(write_checkpoint(Path(folder), shape, layers), shape, output, share=0.85 if apart else 0.42)
        if apart:
            return _in_turns(engines, works_of, rounds)
        with engines.start(False) as stock, engines.start(True) as ours:
            return measure({**works_of(stock, False), **works_of(ours, True)}, rounds)


def _in_turns(engines: Engines, works_of: Callable[[Engine, bool], dict[str, Work]], rounds: int) -> dict[str, Times]:
    """Measure one engine at a time: some rounds with each, and again."""
    found: dict[str, Times] = {}
    turns = min(TURNS, rounds)
    for turn in range(turns):
        for plugin in (False, True):
            with engines.start(plugin) as running:
                more = measure(works_of(running, plugin), rounds * (turn + 1) // turns - rounds * turn // turns)
            found = joined(found, more)
    return found


def works(asked: Engine, plugin: bool, shape: Shape, ratios: Sequence[float], seeds: "count[int]") -> dict[str, Work]:
    """What is asked of an engine, by the names of what it is to tell."""

    def ask(length: int, size: tuple[int, int] | None = None, ratio: float = 0.0) -> Work:
        return lambda: asked.seconds(Question(length, size, ratio, seed=next(seeds)))

    if plugin:
        return {name_of(OURS, ratio): ask(QUESTION_LENGTH, shape.picture, ratio) for ratio in ratios}
    crops = shape.plan(shape.picture, 0.0).crops
    texts = {name_of(TEXT, ratio): ask(length) for ratio, length in lengths_of(shape, ratios).items()}
    return {STOCK: ask(QUESTION_LENGTH, shape.picture), TOWER: lambda: asked.tower_seconds(crops), **texts}
