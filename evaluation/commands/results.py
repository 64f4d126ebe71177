"""Put the tables of an output folder into RESULTS.md, and its JSON files and figures beside it.

RESULTS.md is written by hand but for what stands between `<!-- NAME -->` and `<!-- end -->`: there goes NAME.md.
"""

import re
import shutil
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path

from evaluation.failure import EvaluationError

RESULTS = Path(__file__).parents[1] / "RESULTS.md"
SECTION = re.compile(r"(<!-- (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def add_arguments(parser: ArgumentParser) -> None:
    parser.add_argument("--output", type=Path, required=True, help="folder that the other commands wrote to")
    parser.add_argument("--results", type=Path, default=RESULTS, help="default: evaluation/RESULTS.md")


def run(arguments: Namespace) -> None:
    sections = {file.stem: file.read_text() for file in arguments.output.glob("*.md")}
    arguments.results.write_text(fill(arguments.results.read_text(), sections))
    folder = arguments.results.parent / "results"
    folder.mkdir(exist_ok=True)
    for file in sorted([*arguments.output.glob("*.json"), *arguments.output.glob("*.png")]):
        shutil.copy(file, folder)
        print(f"copied {file.name} to {folder}")


def fill(text: str, sections: Mapping[str, str]) -> str:
    """The text with its sections replaced by those of their names; where there is none they stay as they are.

    Raises:
        EvaluationError: there is no section.
    """
    if not SECTION.search(text):
        raise EvaluationError("no section to fill: none begins with <!-- NAME --> and ends with <!-- end -->")

    def section(match: re.Match[str]) -> str:
        found = sections.get(match[2])
        return f"{match[1]}\n{found.strip()}\n\n{match[3]}" if found else match[0]

    return SECTION.sub(section, text)
