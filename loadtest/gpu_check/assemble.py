"""Bring Python packages to a machine without a network, in parts of limited size.

Where there is a network, `split` packs the wheels in a folder into parts, but for the files that --leave-out names:

    pip download --no-deps --dest WHEELS vllm==0.32.0 ...
    pip wheel --no-deps --wheel-dir WHEELS .
    python -m loadtest.gpu_check.assemble list WHEELS
    python -m loadtest.gpu_check.assemble split WHEELS PARTS --leave-out '*_moe_C*' --leave-out '*_fa2_C*' ...

What vLLM 0.32 does not need for this model on a Hopper GPU, as patterns: *_vllm_fa2_C* *_moe_C* */vllm-rs
*/third_party/deep_gemm/* */third_party/fmha_sm100/* *_flashmla* *_flashkda* *_deepselect* *_qutlass*

The parts travel one by one. Where they arrive, `join` makes the folder that PYTHONPATH is to name:

    python -m loadtest.gpu_check.assemble join PARTS FOLDER
    PYTHONPATH=FOLDER python -m loadtest.gpu_check --level 2 --output RESULT

It needs nothing but Python.
"""

import hashlib
import json
import shutil
import sys
import tarfile
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path
from tempfile import TemporaryFile
from zipfile import ZipFile, ZipInfo

MANIFEST = "parts.json"
PART_SIZE = 60
"""MiB: a little under the 64 that such a machine may take at a time."""
LARGEST = 30


class AssemblyError(Exception):
    """Parts that do not fit together."""


def split(wheels: Path, parts: Path, left_out: Sequence[str] = (), size: int = PART_SIZE * 2**20) -> list[Path]:
    """Pack the files of all wheels in a folder into parts of at most `size` bytes; return them."""
    parts.mkdir(parents=True, exist_ok=True)
    made: list[Path] = []
    with TemporaryFile() as whole:
        with tarfile.open(fileobj=whole, mode="w:xz", preset=6) as packed:
            for wheel, member in members(wheels):
                if not any(fnmatch(member.filename, pattern) for pattern in left_out):
                    _add(packed, wheel, member)
        whole.seek(0)
        while block := whole.read(size):
            made.append(parts / f"part-{len(made):03}")
            made[-1].write_bytes(block)
    manifest = {part.name: _digest(part) for part in made}
    (parts / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
    return made


def members(wheels: Path) -> Iterator[tuple[ZipFile, ZipInfo]]:
    """All files of all wheels in a folder."""
    for file in sorted(wheels.glob("*.whl")):
        with ZipFile(file) as wheel:
            for member in wheel.infolist():
                if not member.is_dir():
                    yield wheel, member


def _add(packed: tarfile.TarFile, wheel: ZipFile, member: ZipInfo) -> None:
    information = tarfile.TarInfo(_installed_name(member.filename))
    information.size = member.file_size
    with wheel.open(member) as content:
        packed.addfile(information, content)


def _installed_name(name: str) -> str:
    """Where an installer puts a file of a wheel."""
    parts = name.split("/")
    inside = parts[0].endswith(".data") and parts[1] in ("purelib", "platlib")
    return "/".join(parts[2:]) if inside else name


def join(parts: Path, folder: Path) -> None:
    """Unpack parts into a folder.

    Raises:
        AssemblyError: a part is missing or damaged.
    """
    manifest: dict[str, str] = json.loads((parts / MANIFEST).read_text())
    with TemporaryFile() as whole:
        for name, digest in manifest.items():
            part = parts / name
            if not part.is_file() or _digest(part) != digest:
                raise AssemblyError(f"{name} is missing or damaged: bring it again")
            with part.open("rb") as content:
                shutil.copyfileobj(content, whole)
        whole.seek(0)
        with tarfile.open(fileobj=whole, mode="r:xz") as packed:
            packed.extractall(folder, filter="data")


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def largest(wheels: Path) -> list[str]:
    """The largest files of all wheels in a folder: their compressed size in MB, and their names."""
    sizes = sorted(((member.compress_size, member.filename) for _, member in members(wheels)), reverse=True)
    return [f"{size / 1e6:7.1f}  {name}" for size, name in sizes[:LARGEST]]


def main(words: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    arguments = parser().parse_args(words)
    try:
        if arguments.command == "list":
            print(*largest(arguments.wheels), sep="\n")
        elif arguments.command == "split":
            made = split(arguments.wheels, arguments.parts, arguments.leave_out, int(arguments.size * 2**20))
            print(*made, arguments.parts / MANIFEST, sep="\n")
        else:
            join(arguments.parts, arguments.folder)
    except AssemblyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def parser() -> ArgumentParser:
    """The command line."""
    whole = ArgumentParser(
        prog="python -m loadtest.gpu_check.assemble", description=__doc__, formatter_class=RawDescriptionHelpFormatter
    )
    commands = whole.add_subparsers(dest="command", required=True)
    show = commands.add_parser("list", help="show the largest files of wheels")
    show.add_argument("wheels", type=Path)
    cut = commands.add_parser("split", help="pack wheels into parts")
    cut.add_argument("wheels", type=Path)
    cut.add_argument("parts", type=Path)
    cut.add_argument("--leave-out", action="append", default=[], help="a pattern of file names; may be repeated")
    cut.add_argument("--size", type=float, default=PART_SIZE, help="of a part in MiB (default: %(default)s)")
    unpack = commands.add_parser("join", help="unpack parts")
    unpack.add_argument("parts", type=Path)
    unpack.add_argument("folder", type=Path)
    return whole


if __name__ == "__main__":
    sys.exit(main())
