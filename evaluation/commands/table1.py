"""Table 1: every method at every ratio, task by task.

Writes table1.json and table1.md. FastV drops tokens inside the language model, behind its second layer. An engine with
a paged KV cache cannot do that, so no server offers it; --fastv measures it offline, in Transformers.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from evaluation.arguments import add_model, add_output, add_questions, add_url
from evaluation.cell import METHODS, RATIOS, cells_of
from evaluation.comparison import comparisons
from evaluation.files import write_text
from evaluation.markdown import table
from evaluation.measurement import Measurement
from evaluation.provenance import provenance
from evaluation.result import family_cells, family_names, task_shares
from evaluation.run import Run


def add_arguments(parser: ArgumentParser) -> None:
    add_output(parser)
    add_model(parser)
    add_url(parser)
    add_questions(parser)
    parser.add_argument("--methods", nargs="+", default=METHODS, metavar="METHOD", help="default: all")
    parser.add_argument("--ratios", nargs="+", type=float, default=RATIOS, metavar="RATIO", help="default: 0.5 0.7 0.9")
    parser.add_argument("--fastv", action="store_true", help="measure FastV too, offline and one question at a time")


def run(arguments: Namespace) -> None:
    questions = Run(arguments)
    measurements = questions.measure(cells_of(arguments.methods, arguments.ratios))
    if arguments.fastv:
        measurements += questions.measure_fastv([ratio for ratio in arguments.ratios if ratio])
    questions.write("table1", measurements)
    text = f"{markdown(measurements).rstrip()}\n\n{provenance(arguments.words)}\n"
    write_text(arguments.output / "table1.md", text)
    print(text)


def markdown(measurements: Sequence[Measurement]) -> str:
    """The table by families, the same by tasks, and how G-Prune fares against each other method."""
    first = measurements[0]
    tasks = list(task_shares(first))
    families = [[*_label(measurement), *family_cells(measurement)] for measurement in measurements]
    return (
        f"Right answers in %, with the 95 % confidence interval (Wilson); {len(first.answers)} questions a row, "
        f"{first.in_flight} in flight.\n\n"
        + table(["method", "pruned", *family_names(first)], families)
        + "\nThe same by task:\n\n"
        + table(["method", "pruned", *tasks], [[*_label(one), *task_shares(one).values()] for one in measurements])
        + "\n"
        + comparisons(measurements, "gprune")
    )


def _label(measurement: Measurement) -> tuple[str, str]:
    return measurement.cell.method, f"{measurement.cell.ratio:.0%}"
