"""lmms-eval in a process of its own."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.cell import Cell
from evaluation.failure import EvaluationError

ROOT = Path(__file__).parents[2]
"""The repository, from which lmms-eval imports its backend."""
MISSING = """\
lmms-eval is not installed. Some of its packages would replace vLLM's: install it into another environment,
    python3 -m venv lmms-eval && lmms-eval/bin/pip install 'lmms-eval==0.7.3' 'filelock<4'
and name the interpreter of that: --python lmms-eval/bin/python"""


def interpreter(named: str | None) -> str:
    """The interpreter that is named, or without a name this one, if it has lmms-eval.

    Raises:
        EvaluationError: there is none.
    """
    if named is None and importlib.util.find_spec("lmms_eval") is None:
        raise EvaluationError(MISSING)
    if shutil.which(named or sys.executable) is None:
        raise EvaluationError(f"--python {named} is no interpreter")
    return named or sys.executable


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

    def run(self, python: str, url: str, model: str) -> None:
        """Run the task.

        Args:
            python: an interpreter that has lmms-eval.
            url: the server's.
            model: name of its model.

        Raises:
            EvaluationError: there is no report after it, because a request failed for one.
        """
        fields = {"url": url, "model": model, **self.cell.fields, "concurrency": self.concurrency}
        named = ",".join(f"{name}={value}" for name, value in fields.items())
        arguments = ["--model", "gprune", "--model_args", named, "--tasks", self.task, "--batch_size", "1"]
        command = [python, "-m", "evaluation.lmms", *arguments, "--output_path", str(self.folder), *self.options]
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        status = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}).returncode
        if self.report is None:  # lmms-eval ends with 0 when requests fail, too
            raise EvaluationError(f"lmms-eval ended with {status} and without results for {self.task} ({self.cell})")
