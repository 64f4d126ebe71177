"""Tables whose rows are settings of the server."""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evaluation.cell import Cell
from evaluation.measurement import Measurement
from evaluation.result import family_table
from evaluation.run import Run

PUBLISHED = ("paper's GQA", "POPE", "TextVQA", "mean")


@dataclass(frozen=True, slots=True)
class Variant:
    """One row of a table.

    Attributes:
        labels: what the table calls it, by column.
        cell: what requests ask for.
        settings: what the server is started with; see `own_service`.
        published: the paper's figures, where it has this row; see `PUBLISHED`.
    """

    labels: Mapping[str, str]
    cell: Cell
    settings: Mapping[str, str]
    published: Sequence[float] = ()


def write_variants(arguments: Namespace, name: str, variants: Sequence[Variant]) -> None:
    """Measure the variants, and write them to `NAME.json` and `NAME.md`."""
    questions = Run(arguments)
    measurements = compare(questions, variants)
    questions.write(name, measurements, [variant.labels for variant in variants])
    questions.publish(name, markdown(variants, measurements))


def compare(questions: Run, variants: Sequence[Variant]) -> list[Measurement]:
    """Ask all questions of each variant, with one server for those that have the same settings."""
    alike: dict[tuple[tuple[str, str], ...], list[int]] = {}
    for place, variant in enumerate(variants):
        alike.setdefault(tuple(variant.settings.items()), []).append(place)
    measured: dict[int, Measurement] = {}
    for settings, places in alike.items():
        cells = [variants[place].cell for place in places]
        measured |= zip(places, questions.measure(cells, dict(settings)), strict=True)
    return [measured[place] for place in range(len(variants))]


def markdown(variants: Sequence[Variant], measurements: Sequence[Measurement]) -> str:
    """The table, with the paper's figures beside those measured."""
    titles = PUBLISHED if any(variant.published for variant in variants) else ()
    figures = [[f"{figure:.2f}" for figure in variant.published] or [""] * len(titles) for variant in variants]
    labels = [variant.labels for variant in variants]
    return family_table(measurements, labels, [titles, *figures], text_columns=len(labels[0]))
