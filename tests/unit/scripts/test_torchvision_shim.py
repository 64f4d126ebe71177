"""torchvision beside a CPU-only torch, in fresh interpreters: an import happens once."""

import subprocess
import sys
from pathlib import Path

from tests.support.tools import ROOT

SCRIPTS = ROOT / "scripts"
# The environment may carry the shim already, from this version or an earlier one: these tests bring their own.
PREAMBLE = f"""
import sys, sysconfig
sys.path.insert(0, {str(SCRIPTS)!r})
import torchvision_shim as shim
sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__name__ != "TorchvisionFinder"]
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


def installed(folder: Path) -> list[str]:
    """What the script put into an environment."""
    return sorted(file.name for file in folder.glob("gprune_*") if file.is_file())


REPAIR = ["gprune_torchvision.pth", "gprune_torchvision_shim.py"]


def test_declaring_twice_is_fine() -> None:
    code = "import torch\nshim.declare_torchvision_operators()\nshim.declare_torchvision_operators()\n"
    result = run(code + "print(hasattr(torch.ops.torchvision, 'nms'), hasattr(torch.ops.torchvision, 'qnms'))")
    assert result.stdout.split() == ["True", "True"], result.stderr


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
    assert installed(tmp_path) == REPAIR, result.stderr
    assert "gprune_torchvision.pth" in result.stdout
    line = (tmp_path / "gprune_torchvision.pth").read_text()
    # The repository is not needed any more: Python finds the copy.
    result = run(f"sys.path.remove({str(SCRIPTS)!r})\n{line}import torchvision\nprint(torchvision.works)", fake=fake)
    assert result.stdout.split() == ["True"], result.stderr


def test_an_earlier_repair_is_replaced(tmp_path: Path) -> None:
    fake = fake_torchvision(tmp_path, BROKEN)
    (tmp_path / "gprune_torchvision.pth").write_text("import gprune_vllm.torchvision_shim as shim\n")
    result = run("shim.install_finder()\nshim.repair_environment()", str(tmp_path), fake=fake)
    assert installed(tmp_path) == REPAIR, result.stderr
    assert "gprune_vllm" not in (tmp_path / "gprune_torchvision.pth").read_text()


def test_a_repair_that_is_needed_no_longer_is_removed(tmp_path: Path) -> None:
    for name in REPAIR:
        (tmp_path / name).touch()
    result = run("shim.repair_environment()", str(tmp_path), fake=fake_torchvision(tmp_path, "works = True"))
    assert (result.returncode, installed(tmp_path)) == (0, []), result.stderr


def test_a_working_torchvision_is_left_alone(tmp_path: Path) -> None:
    result = run("shim.repair_environment()", str(tmp_path), fake=fake_torchvision(tmp_path, "works = True"))
    assert (result.returncode, installed(tmp_path)) == (0, []), result.stderr


def test_an_environment_without_torchvision_is_left_alone(tmp_path: Path) -> None:
    result = run("shim.find_spec = lambda name: None\nshim.repair_environment()", str(tmp_path))
    assert (result.returncode, installed(tmp_path)) == (0, []), result.stderr


def test_a_torchvision_broken_otherwise_is_not_hidden(tmp_path: Path) -> None:
    fake = fake_torchvision(tmp_path, "raise RuntimeError('out of cheese')")
    result = run("shim.repair_environment()", str(tmp_path), fake=fake)
    assert "RuntimeError: out of cheese" in result.stderr
    assert installed(tmp_path) == []


def test_the_script_leaves_this_environment_importable() -> None:
    """An environment that the tests run in has been repaired, or needs no repair: either way nothing is to be done."""
    result = subprocess.run([sys.executable, "-c", "import torchvision"], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")
