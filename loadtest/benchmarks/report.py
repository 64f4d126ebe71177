"""What a benchmark writes down: JSON, a table in Markdown, and what it was measured with."""

import shlex
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evaluation.files import write_json, write_text
from evaluation.provenance import commit, machine, processor, versions


def add_output(parser: ArgumentParser) -> None:
    """Where results go."""
    parser.add_argument("--output", type=Path, required=True, help="folder for the results")


def write_report(
    folder: Path, name: str, title: str, command: str, result: dict[str, Any], body: Sequence[str]
) -> None:
    """Write NAME.json and NAME.md, and show the latter.

    Args:
        title: the report's heading.
        command: what was run.
        result: what the JSON file holds beside where it comes from.
        body: paragraphs and tables.
    """
    write_json(folder / f"{name}.json", {**provenance(command), **result})
    text = "\n\n".join([f"# {title}", origin(command), *(part.strip() for part in body)]) + "\n"
    write_text(folder / f"{name}.md", text)
    print(text)


def provenance(command: str) -> dict[str, str]:
    """What a result was measured with."""
    return {"command": command, "commit": commit(), "hardware": hardware(), "versions": versions()}


def origin(command: str) -> str:
    """The same in a sentence."""
    return f"`{command}` at commit {commit()} on {hardware()}; {versions()}."


def hardware() -> str:
    """The machine, its processor named also where there is a GPU."""
    named = machine()
    return named if processor() in named else f"{named} with {processor()}"


def command_line(module: str, words: Sequence[str]) -> str:
    """The command of these words, without where its results went."""
    pairs = zip(["", *words], words, strict=False)
    kept = [word for before, word in pairs if before != "--output" and not word.startswith("--output")]
    return shlex.join(["python", "-m", module, *kept])


def percent(share: float, digits: int = 1) -> str:
    """A share in percent."""
    return f"{100 * share:.{digits}f} %"
