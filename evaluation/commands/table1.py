"""Table 1: every method at every ratio, task by task.

Writes table1.json and table1.md. FastV drops tokens inside the language model, behind its second layer. An engine with
a paged KV cache cannot do that, so no server offers it; --fastv measures it offline, in Transformers. The method
downsample is no pruning at all: it sends a smaller picture, of as few tokens where there is one.
"""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from evaluation.arguments import add_cells
from evaluation.cell import DOWNSAMPLE, METHODS, cells_of
from evaluation.comparison import comparisons
from evaluation.markdown import table
from evaluation.measurement import Measurement
from evaluation.result import family_table, task_shares
from evaluation.run import Run


def add_arguments(parser: ArgumentParser) -> None:
    add_cells(parser, (*METHODS, DOWNSAMPLE))
    parser.add_argument("--fastv", action="store_true", help="measure FastV too, offline and one question at a time")


def run(arguments: Namespace) -> None:
    questions = Run(arguments)
    measurements = questions.measure(cells_of(arguments.methods, arguments.ratios))
    if arguments.fastv:
        measurements += questions.measure_fastv([ratio for ratio in arguments.ratios if ratio])
    questions.write("table1", measurements)
    questions.publish("table1", markdown(measurements))


def markdown(measurements: Sequence[Measurement]) -> str:
    """The table by families, the same by tasks, and how G-Prune fares against each other method."""
    labels = [{"method": one.cell.method, "pruned": f"{one.cell.ratio:.0%}"} for one in measurements]
    shares = [task_shares(one) for one in measurements]
    by_task = [[*label.values(), *each.values()] for label, each in zip(labels, shares, strict=True)]
    return (
        family_table(measurements, labels, [()] * (1 + len(labels)), text_columns=1)
        + "\nThe same by task:\n\n"
        + table([*labels[0], *shares[0]], by_task)
        + "\n"
        + comparisons(measurements, "gprune")
    )
