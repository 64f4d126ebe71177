"""Table 3: how often G-Prune's score is propagated, and from which similarity tokens are joined.

Writes table3.json and table3.md.
"""

from argparse import Namespace

from evaluation.arguments import add_questions
from evaluation.cell import Cell
from evaluation.published import TABLE_3
from evaluation.variants import Variant, write_variants

RATIO = 0.7
ITERATIONS, THRESHOLD = 5, 0.5
"""The server's defaults, which are the paper's."""
add_arguments = add_questions


def run(arguments: Namespace) -> None:
    write_variants(arguments, "table3", VARIANTS)


def variant(iterations: int, threshold: float) -> Variant:
    settings = {}
    if iterations != ITERATIONS:
        settings["prune-iterations"] = str(iterations)
    if threshold != THRESHOLD:
        settings["prune-threshold"] = str(threshold)
    labels = {"iterations": str(iterations), "threshold": str(threshold)}
    return Variant(labels, Cell("gprune", RATIO), settings, TABLE_3[threshold] if iterations == ITERATIONS else ())


VARIANTS = [
    *(variant(iterations, THRESHOLD) for iterations in (1, 3, 5, 7)),
    *(variant(ITERATIONS, threshold) for threshold in (0.3, 0.7, 0.9)),
]
