"""Beyond the paper: stage, positions, variant, similarity and score, each against the server's default.

Writes beyond.json and beyond.md.
"""

from argparse import ArgumentParser, Namespace

from evaluation.arguments import add_questions, add_ratios
from evaluation.cell import Cell
from evaluation.variants import Variant, write_variants

SETTINGS: dict[str, dict[str, str]] = {
    "default": {},
    "stage: projector": {"prune-stage": "projector"},
    "positions: contiguous": {"prune-positions": "contiguous"},
    "variant: paper's Algorithm 1": {"prune-temperature": "none"},
    "similarity: euclidean": {"prune-similarity": "euclidean"},
    "score: ones": {"prune-score": "ones"},
}
"""Settings that differ from the default, by what they are called."""


def add_arguments(parser: ArgumentParser) -> None:
    add_questions(parser)
    add_ratios(parser)


def run(arguments: Namespace) -> None:
    variants = [
        Variant({"setting": name, "pruned": f"{ratio:.0%}"}, Cell("gprune", ratio), settings)
        for name, settings in SETTINGS.items()
        for ratio in arguments.ratios
    ]
    write_variants(arguments, "beyond", variants)
