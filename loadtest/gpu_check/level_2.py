"""What needs vLLM: engines at full size, with pruning and without."""

from argparse import Namespace
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from evaluation.failure import EvaluationError
from evaluation.files import write_json
from loadtest.benchmarks import prefill_report
from loadtest.benchmarks.efficiency import RATIOS, Prefill
from loadtest.benchmarks.engine import QUESTION_LENGTH, Engine, Engines, Question
from loadtest.benchmarks.prefill import lengths_of, works
from loadtest.benchmarks.shapes import SHAPES, Shape, write_checkpoint
from loadtest.benchmarks.timing import measure
from loadtest.gpu_check import sweep
from loadtest.gpu_check.synchronisation import FREE, NOT_CHECKED

SHARE = 0.42
"""Of the GPU's memory, for each of two engines."""


def run(arguments: Namespace, command: str) -> None:
    """Write prefill.*, sweep.* and synchronisation.json."""
    shape, folder = SHAPES[arguments.shape], arguments.output
    layers, seeds = arguments.layers or shape.decoder.layers, count()
    with TemporaryDirectory() as temporary:
        checkpoint = write_checkpoint(Path(temporary), shape, layers)
        engines = Engines(checkpoint, shape, folder, SHARE, max(arguments.concurrency), arguments.attention_backend)
        with engines.start(False) as stock, engines.start(True) as ours:
            both = {**works(stock, False, shape, RATIOS, seeds), **works(ours, True, shape, RATIOS, seeds)}
            times = measure(both, arguments.rounds)
            prefill = Prefill(arguments.shape, layers, shape.decoder.layers, lengths_of(shape, RATIOS), times)
            prefill_report.report(prefill, folder, command)
            found = sweep.measure_sweep(
                stock, ours, shape, RATIOS, arguments.concurrency, max(1, arguments.rounds // 3)
            )
            sweep.report(found, folder, command)
            waits = waiting(ours, shape) if arguments.device == "cuda" else NOT_CHECKED
    write_json(folder / "synchronisation.json", {"pruning": waits})
    print(f"Pruning in the engine: {waits}")


def waiting(ours: Engine, shape: Shape) -> str:
    """Whether the engine waits for its GPU while it prunes. It ends where it does."""
    ours.refuse_synchronisation()
    try:
        for seed, ratio in enumerate(ratio for ratio in RATIOS if ratio):
            ours.seconds(Question(QUESTION_LENGTH, shape.picture, ratio, seed=2_000_000 + seed))
    except EvaluationError as error:
        return f"waits: {error}"
    return FREE
