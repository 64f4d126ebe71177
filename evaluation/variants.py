"""Tables whose rows are settings of the server."""

from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evaluation.cell import Cell
from evaluation.files import write_text
from evaluation.markdown import table
from evaluation.measurement import Measurement
from evaluation.provenance import provenance
from evaluation.result import family_cells, family_names
from evaluation.run import Run


@dataclass(frozen=True, slots=True)
class Variant:
    """One row of a table.

    Attributes:
        labels: what the table calls it, by column.
        cell: what requests ask for.
        settings: what the server is started with; see `OwnService`.
        published: the paper's GQA, POPE, TextVQA and their mean, where it has this row.
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
    text = f"{markdown(variants, measurements)}\n{provenance(arguments.words)}\n"
    write_text(arguments.output / f"{name}.md", text)
    print(text)


def compare(questions: Run, variants: Sequence[Variant]) -> list[Measurement]:
    """Ask all questions of each variant, with one server for those that have the same settings."""
    measured: dict[int, Measurement] = {}
    for settings in _distinct([variant.settings for variant in variants]):
        alike = [place for place, variant in enumerate(variants) if variant.settings == settings]
        measured |= zip(alike, questions.measure([variants[place].cell for place in alike], settings), strict=True)
    return [measured[place] for place in range(len(variants))]


def _distinct(all_settings: Sequence[Mapping[str, str]]) -> list[Mapping[str, str]]:
    return [settings for place, settings in enumerate(all_settings) if settings not in all_settings[:place]]


def markdown(variants: Sequence[Variant], measurements: Sequence[Measurement]) -> str:
    """The table, with the paper's figures beside those measured."""
    first = measurements[0]
    labels = list(variants[0].labels)
    published = ["paper's GQA", "POPE", "TextVQA", "mean"] if any(variant.published for variant in variants) else []
    blank = [""] * len(published)
    rows: list[list[object]] = [
        [
            *variant.labels.values(),
            *family_cells(measurement),
            *([f"{figure:.2f}" for figure in variant.published] or blank),
        ]
        for variant, measurement in zip(variants, measurements, strict=True)
    ]
    return (
        f"Right answers in %, with the 95 % confidence interval (Wilson); {len(first.answers)} questions a row, "
        f"{first.in_flight} in flight.\n\n" + table([*labels, *family_names(first), *published], rows, len(labels))
    )
