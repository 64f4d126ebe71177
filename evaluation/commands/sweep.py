"""G-Prune against L2 norm at ratios from 10 % to 90 %, for figure 4.

Writes sweep.json, which has the form of table1.json.
"""

from argparse import ArgumentParser, Namespace

from evaluation.arguments import add_cells
from evaluation.cell import cells_of
from evaluation.run import Run

RATIOS = tuple(step / 10 for step in range(1, 10))


def add_arguments(parser: ArgumentParser) -> None:
    add_cells(parser, ("gprune", "l2norm"), RATIOS)


def run(arguments: Namespace) -> None:
    questions = Run(arguments)
    questions.write("sweep", questions.measure(cells_of(arguments.methods, arguments.ratios)))
