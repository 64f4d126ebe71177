"""Wheels go through parts of limited size, and come out as installed."""

import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from loadtest.gpu_check.assemble import MANIFEST, AssemblyError, join, main, split


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    """Two wheels, one with a library that does not shrink and a file that goes to site-packages by another way."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    with ZipFile(folder / "first-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("first/__init__.py", "number = 7\n")
        wheel.writestr("first/_large.so", os.urandom(100_000))
        wheel.writestr("first/_needless.so", os.urandom(100_000))
        wheel.writestr("first-1.dist-info/METADATA", "Name: first\n")
    with ZipFile(folder / "second-1-py3-none-any.whl", "w") as wheel:
        wheel.writestr("second-1.data/purelib/second.py", "from first import number\n")
        wheel.writestr("second-1.data/scripts/second", "#!python\n")
    return folder


def test_what_was_split_joins_again(wheels: Path, tmp_path: Path) -> None:
    made = split(wheels, tmp_path / "parts", ["*_needless*"], size=30_000)
    assert len(made) > 3
    assert all(part.stat().st_size <= 30_000 for part in made)
    join(tmp_path / "parts", tmp_path / "joined")
    with ZipFile(wheels / "first-1-py3-none-any.whl") as wheel:
        assert (tmp_path / "joined/first/_large.so").read_bytes() == wheel.read("first/_large.so")
    assert not (tmp_path / "joined/first/_needless.so").exists()
    printed = subprocess.run(
        [sys.executable, "-c", "import second; print(second.number)"],
        env=os.environ | {"PYTHONPATH": str(tmp_path / "joined")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert printed.stdout == "7\n"


def test_a_part_that_is_damaged_or_missing_is_named(wheels: Path, tmp_path: Path) -> None:
    *_, last = split(wheels, tmp_path / "parts", size=30_000)
    last.write_bytes(last.read_bytes()[:-1])
    with pytest.raises(AssemblyError, match=last.name):
        join(tmp_path / "parts", tmp_path / "joined")
    last.unlink()
    with pytest.raises(AssemblyError, match=last.name):
        join(tmp_path / "parts", tmp_path / "joined")
    assert not (tmp_path / "joined").exists()


def test_the_command_line_does_all_of_it(wheels: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", str(wheels)]) == 0
    assert {"first/_large.so", "first/_needless.so"} == {
        line.split()[1] for line in capsys.readouterr().out.splitlines()[:2]
    }
    assert main(["split", str(wheels), str(tmp_path / "parts"), "--leave-out", "*_needless*"]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / "parts" / name) for name in ("part-000", MANIFEST)]
    assert main(["join", str(tmp_path / "parts"), str(tmp_path / "joined")]) == 0
    (tmp_path / "parts" / "part-000").unlink()
    assert main(["join", str(tmp_path / "parts"), str(tmp_path / "joined")]) == 1
    assert "part-000" in capsys.readouterr().err
