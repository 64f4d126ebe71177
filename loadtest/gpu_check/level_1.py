"""What torch and transformers suffice for: the parts of LLaVA-NeXT, pruned to each ratio."""

from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from evaluation.markdown import table
from loadtest.benchmarks.efficiency import RATIOS
from loadtest.benchmarks.report import percent, write_report
from loadtest.benchmarks.selectors import DTYPES, TOKENS, WIDTHS, Case, run_case
from loadtest.benchmarks.selectors import report as report_selectors
from loadtest.benchmarks.shapes import SHAPES
from loadtest.benchmarks.timing import Times, duration, measure, stopwatch
from loadtest.gpu_check.model import Model
from loadtest.gpu_check.synchronisation import check_methods

QUESTION_LENGTH = 16
STEPS = ("tower", "selection", "projector", "language model", "whole")


def run(arguments: Namespace, command: str) -> None:
    """Write selectors.* and parts.*."""
    shape = SHAPES[arguments.shape]
    tokens, widths = (TOKENS, WIDTHS) if arguments.shape != "tiny" else ((shape.tower.patches,), (64,))
    cases = [Case(arguments.device, count, width, dtype) for count in tokens for width in widths for dtype in DTYPES]
    report_selectors([run_case(case, arguments.rounds) for case in cases], arguments.output, command)
    model = Model(shape, arguments.layers or shape.decoder.layers, arguments.device)
    waits = check_methods(model, RATIOS[-1])
    times = {ratio: measure_parts(model, ratio, arguments.rounds) for ratio in RATIOS}
    report(times, lengths_of(model), waits, arguments.output, command)


def lengths_of(model: Model) -> dict[float, int]:
    """Tokens of a prompt at each ratio."""
    return {ratio: QUESTION_LENGTH + model.shape.plan(model.shape.picture, ratio).kept for ratio in RATIOS}


@torch.inference_mode()
def measure_parts(model: Model, ratio: float, rounds: int) -> dict[str, Times]:
    """What each step takes by itself on what the one before leaves, and what all take together."""
    plan, clock = model.shape.plan(model.shape.picture, ratio), stopwatch(model.device)
    pixels, text = model.pixels(plan), model.text(QUESTION_LENGTH)
    features = model.tower(pixels)
    patches = model.select(features, plan)
    prompt = torch.cat((model.project(patches, plan), text), dim=1)  # [1, length, hidden_size]

    def whole() -> object:
        return model.decode(torch.cat((model.project(model.select(model.tower(pixels), plan), plan), text), dim=1))

    works: Sequence[Callable[[], object]] = (
        lambda: model.tower(pixels),
        lambda: model.select(features, plan),
        lambda: model.project(patches, plan),
        lambda: model.decode(prompt),
        whole,
    )
    timed = {name: (lambda work=work: clock(work)) for name, work in zip(STEPS, works, strict=True)}
    return measure(timed, rounds)


def report(
    times: Mapping[float, Mapping[str, Times]],
    lengths: Mapping[float, int],
    waits: Mapping[str, str],
    folder: Path,
    command: str,
) -> None:
    """Write parts.json, parts.md and parts.png."""
    full = times[0.0]["whole"].median
    rows = [
        [
            percent(ratio, 0),
            lengths[ratio],
            *(duration(each.median) for each in steps.values()),
            f"{full / steps['whole'].median:.2f} x",
            percent(steps["selection"].median / steps["whole"].median),
        ]
        for ratio, steps in times.items()
    ]
    content: dict[str, Any] = {
        "ratios": [
            {
                "ratio": ratio,
                "prompt_tokens": lengths[ratio],
                "steps": {name: each.as_json() for name, each in steps.items()},
            }
            for ratio, steps in times.items()
        ],
        "waits": dict(waits),
    }
    body = [
        "LLaVA-NeXT in Transformers, with random weights in bfloat16, up to its last hidden state. Medians.",
        table(["pruned", "prompt tokens", *STEPS, "faster", "selection's share"], rows),
        "Does the way from features to embeddings make the host wait for the GPU?",
        table(["method", ""], waits.items(), text_columns=2),
        "![Times of all steps](parts.png)",
    ]
    write_report(folder, "parts", "Parts of LLaVA-NeXT", command, content, body)
    draw(times, folder / "parts.png")


def draw(times: Mapping[float, Mapping[str, Times]], file: Path) -> None:
    """A bar for each ratio, of the steps above each other."""
    from evaluation.figures.canvas import save, subplots

    figure, (axes,) = subplots(1, width=6)
    names = [percent(ratio, 0) for ratio in times]
    below = [0.0] * len(names)
    for step in STEPS[:-1]:
        heights = [1000 * steps[step].median for steps in times.values()]
        axes.bar(names, heights, bottom=below, label=step)
        below = [low + height for low, height in zip(below, heights, strict=True)]
    axes.plot(names, [1000 * steps["whole"].median for steps in times.values()], "k_", ms=30, label="whole")
    axes.set(xlabel="visual tokens pruned", ylabel="ms")
    axes.legend()
    save(figure, file)
