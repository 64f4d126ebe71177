"""lmms-eval in a process of its own."""

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.cell import Cell
from evaluation.failure import EvaluationError

ROOT = Path(__file__).parents[2]
"""The repository, from which lmms-eval imports its backend."""


@dataclass(frozen=True, slots=True)
class LmmsRun:
    """A task of lmms-eval under a cell.

    Attributes:
        folder: where its results are kept. There are those of one model only.
        options: further arguments of lmms-eval.
        concurrency: questions in flight.
    """

    cell: Cell
    task: str
    folder: Path
    options: Sequence[str]
    concurrency: int

    @property
    def report(self) -> dict[str, Any] | None:
        """What lmms-eval reports of the task; None where it has not run to its end."""
        file = next(self.folder.rglob("*_results.json"), None)
        return None if file is None else dict(json.loads(file.read_text()))

    def run(self, python: Path, url: str, model: str) -> None:
        """Run the task.

        Args:
            python: an interpreter that has lmms-eval.
            url: the server's.
            model: name of its model.

        Raises:
            EvaluationError: there is no report after it, because a request failed for one.
        """
        status = subprocess.run(self._command(python, url, model), env=_environment()).returncode
        if self.report is None:  # lmms-eval ends with 0 when requests fail, too
            raise EvaluationError(f"lmms-eval ended with {status} and without results for {self.task} ({self.cell})")

    def _command(self, python: Path, url: str, model: str) -> list[str]:
        fields = {"url": url, "model": model, **self.cell.fields, "concurrency": self.concurrency}
        named = ",".join(f"{name}={value}" for name, value in fields.items())
        arguments = ["--model", "gprune", "--model_args", named, "--tasks", self.task, "--batch_size", "1"]
        return [str(python), "-m", "lmms_eval", *arguments, "--output_path", str(self.folder), *self.options]


def _environment() -> dict[str, str]:
    """This process's environment, with the repository on Python's path."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path}
