"""The command line: what it costs to import, and how it ends."""

import re
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from evaluation.__main__ import COMMANDS, main
from evaluation.commands import flops
from evaluation.failure import EvaluationError

ROOT = Path(__file__).parents[3]


def test_importing_loads_nothing_heavy() -> None:
    code = "import sys, evaluation; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert {"torch", "vllm", "transformers", "matplotlib", "numpy", "httpx"}.isdisjoint(loaded.split())


def test_help_names_every_command_without_loading_torch(capsys: pytest.CaptureFixture[str]) -> None:
    code = "import sys; from evaluation.__main__ import parser; parser(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
    with pytest.raises(SystemExit):
        main(["--help"])
    printed = capsys.readouterr().out
    assert all(name in printed for name in COMMANDS)


def test_every_command_is_in_the_documentation() -> None:
    documented = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "evaluation.md").read_text(), re.MULTILINE)
    assert sorted(documented) == sorted(COMMANDS)


@pytest.mark.parametrize(
    ("raised", "status", "said"),
    [(EvaluationError("no server"), 1, "error: no server"), (KeyboardInterrupt(), 130, "goes on from here")],
)
def test_ends_with_a_message_and_no_traceback(
    raised: BaseException, status: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(arguments: Namespace) -> None:
        raise raised

    monkeypatch.setattr(flops, "run", fail)
    assert main(["flops", "--output", "unused"]) == status
    assert said in capsys.readouterr().err
