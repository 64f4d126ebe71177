"""Table 2: what the L2 norm and the graph contribute to G-Prune's score.

Writes table2.json and table2.md. Without either, tokens are drawn at random.
"""

from argparse import Namespace

from evaluation.arguments import add_questions
from evaluation.cell import Cell
from evaluation.published import TABLE_2
from evaluation.variants import Variant, write_variants

RATIO = 0.7
add_arguments = add_questions


def run(arguments: Namespace) -> None:
    write_variants(arguments, "table2", VARIANTS)


def variant(norm: bool, graph: bool, method: str, settings: dict[str, str]) -> Variant:
    labels = {"L2 norm": "yes" if norm else "no", "graph": "yes" if graph else "no"}
    return Variant(labels, Cell(method, RATIO), settings, TABLE_2[norm, graph])


VARIANTS = [
    variant(False, False, "random", {}),
    variant(True, False, "l2norm", {}),
    variant(False, True, "gprune", {"prune-score": "ones"}),
    variant(True, True, "gprune", {}),
]
