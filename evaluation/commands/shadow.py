"""Whether shadow quality tells methods and ratios apart as accuracy does.

Starts a server that judges all of its answers, asks it to read text, and compares the agreement in its metrics with
the accuracy of the answers. Writes shadow.json and shadow.md.
"""

from argparse import ArgumentParser, Namespace
from typing import Any

from evaluation.arguments import add_questions, add_ratios, service_of
from evaluation.asking import WARM_UP
from evaluation.cell import METHODS, UNPRUNED, cells_of
from evaluation.files import write_json
from evaluation.journal import Journal
from evaluation.markdown import table
from evaluation.measurement import Measurement, measure
from evaluation.run import Run
from evaluation.sample import FAMILY_OF
from evaluation.score import rank_correlation, wilson_interval
from evaluation.service import running_service
from evaluation.verdicts import VerdictReader, Verdicts

RATIOS = (0.3, 0.5, 0.7, 0.9)
"""One in each bucket of the metrics."""
READING = "fine-grained"
"""Family of the questions that are asked: their answers depend on few tokens of the image."""
SETTINGS = {"prune-shadow-fraction": "1"}


def add_arguments(parser: ArgumentParser) -> None:
    add_questions(parser)
    parser.add_argument("--methods", nargs="+", default=METHODS, metavar="METHOD", help=f"default: {' '.join(METHODS)}")
    add_ratios(parser, RATIOS)


def run(arguments: Namespace) -> None:
    questions = Run(arguments)
    samples = [each for each in questions.samples if FAMILY_OF[each.task] == READING]
    journal, rows = Journal(arguments.output), []
    with service_of(arguments, SETTINGS).running() as url, VerdictReader(url) as reader:
        for cell in cells_of(arguments.methods, arguments.ratios):
            (measured,) = measure(running_service(url), {cell: samples}, journal, arguments.concurrency)
            rows.append(_row(measured, reader.read(len(samples) + len(samples[:WARM_UP]))))
    write_json(arguments.output / "shadow.json", rows)
    questions.publish("shadow", _table(rows))


def _row(measured: Measurement, verdicts: Verdicts) -> dict[str, Any]:
    right, questions = sum(answer.is_right for answer in measured.answers), len(measured.answers)
    low, high = wilson_interval(right, questions)
    return {
        "method": measured.cell.method,
        "ratio": measured.cell.ratio,
        "questions": questions,
        "accuracy": right / questions,
        "low": low,
        "high": high,
        "judged": int(verdicts.number),
        "agreement": verdicts.agreement / verdicts.number,
        "gap": verdicts.gap / verdicts.number,
    }


def _table(rows: list[dict[str, Any]]) -> str:
    header = ["method", "ratio", "accuracy", "95 %", "agreement", "gap", "judged"]
    lines = [
        [
            row["method"],
            f"{row['ratio']:.0%}",
            f"{row['accuracy']:.3f}",
            f"{row['low']:.3f} to {row['high']:.3f}",
            f"{row['agreement']:.3f}",
            f"{row['gap']:.2f}",
            row["judged"],
        ]
        for row in rows
    ]
    pruned = [row for row in rows if row["method"] != UNPRUNED]
    value, low, high = rank_correlation([row["accuracy"] for row in pruned], [row["agreement"] for row in pruned])
    correlation = f"{value:.2f} ({low:.2f} to {high:.2f})"
    return f"{table(header, lines)}\nSpearman's rank correlation of accuracy and agreement, pruned rows: {correlation}."
