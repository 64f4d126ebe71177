"""torchvision beside a CPU-only torch, in fresh interpreters: an import happens once."""

import subprocess
import sys
from pathlib import Path

import torch

from gprune_vllm.torchvision_shim import declare_torchvision_operators

# Installed environments may carry the shim already: these tests bring their own.
PREAMBLE = """
import sys, sysconfig
from pathlib import Path
import gprune_vllm.torchvision_shim as shim
sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, shim.TorchvisionFinder)]
own_path = sysconfig.get_path
sysconfig.get_path = lambda name, *more: sys.argv[1] if name == "purelib" else own_path(name, *more)
"""
BROKEN = """
import torch
if not hasattr(torch.ops.torchvision, "nms"):
    raise RuntimeError("operator torchvision::nms does not exist")
works = True
"""
REMAINING = "print(sum(isinstance(finder, shim.TorchvisionFinder) for finder in sys.meta_path))"


def run(code: str, *arguments: str, fake: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter, with a torchvision of ours before all others if one is given."""
    path = f"sys.path.insert(0, {str(fake)!r})\n" if fake else ""
    command = [sys.executable, "-c", PREAMBLE + path + code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def fake_torchvision(folder: Path, code: str) -> Path:
    """A torchvision whose compiled library does not load."""
    (folder / "torchvision").mkdir()
    (folder / "torchvision" / "_C.so").write_text("made for another torch")
    (folder / "torchvision" / "__init__.py").write_text(code)
    return folder


def path_files(folder: Path) -> list[str]:
    return [file.name for file in folder.glob("*.pth")]


def test_declaring_twice_is_fine() -> None:
    declare_torchvision_operators()
    declare_torchvision_operators()
    assert hasattr(torch.ops.torchvision, "nms")
    assert hasattr(torch.ops.torchvision, "qnms")


def test_the_finder_makes_this_environments_torchvision_importable_and_leaves() -> None:
    result = run("shim.install_finder()\nimport torchvision\n" + REMAINING)
    assert result.stdout.split() == ["0"], result.stderr


def test_two_finders_are_as_good_as_one(tmp_path: Path) -> None:
    fake = fake_torchvision(tmp_path, BROKEN)
    result = run("shim.install_finder()\nshim.install_finder()\nimport torchvision\n" + REMAINING, fake=fake)
    assert result.stdout.split() == ["0"], result.stderr


def test_the_finder_finds_nothing_and_waits_for_torchvision() -> None:
    result = run("shim.install_finder()\nimport colorsys, this_does_not_exist")
    assert "ModuleNotFoundError: No module named 'this_does_not_exist'" in result.stderr
    result = run("shim.install_finder()\nimport colorsys\nprint('torch' in sys.modules)")
    assert result.stdout.split() == ["False"], result.stderr


def test_a_broken_torchvision_is_repaired_for_later_processes(tmp_path: Path) -> None:
    fake = fake_torchvision(tmp_path, BROKEN)
    result = run("shim.repair_environment()", str(tmp_path), fake=fake)
    assert path_files(tmp_path) == ["gprune_torchvision.pth"], result.stderr
    assert "gprune_torchvision.pth" in result.stdout
    line = (tmp_path / "gprune_torchvision.pth").read_text()
    result = run(line + "import torchvision\nprint(torchvision.works)", fake=fake)
    assert result.stdout.split() == ["True"], result.stderr


def test_a_working_torchvision_is_left_alone(tmp_path: Path) -> None:
    result = run("shim.repair_environment()", str(tmp_path), fake=fake_torchvision(tmp_path, "works = True"))
    assert result.returncode == 0, result.stderr
    assert path_files(tmp_path) == []


def test_an_environment_without_torchvision_is_left_alone(tmp_path: Path) -> None:
    result = run("shim.find_spec = lambda name: None\nshim.repair_environment()", str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert path_files(tmp_path) == []


def test_a_torchvision_broken_otherwise_is_not_hidden(tmp_path: Path) -> None:
    fake = fake_torchvision(tmp_path, "raise RuntimeError('out of cheese')")
    result = run("shim.repair_environment()", str(tmp_path), fake=fake)
    assert "RuntimeError: out of cheese" in result.stderr
    assert path_files(tmp_path) == []
