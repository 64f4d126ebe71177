"""The Dockerfile by stages, and the wheel that the images hold."""

import json
import re
import shlex
import shutil
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from dockerfile_parse import DockerfileParser

from tests.support.tools import ROOT, run

DOCKERFILE = ROOT / "Dockerfile"


@dataclass(frozen=True, slots=True)
class Instruction:
    name: str
    value: str


@cache
def stages() -> dict[str, list[Instruction]]:
    """The Dockerfile's instructions by stage; a stage that builds on another begins with the other's."""
    found: dict[str, list[Instruction]] = {}
    name = ""
    for parsed in DockerfileParser(path=str(DOCKERFILE)).structure:
        instruction = Instruction(parsed["instruction"], parsed["value"])
        if instruction.name == "FROM":
            base, name = re.fullmatch(r"(\S+) AS (\S+)", instruction.value).groups()  # type: ignore[union-attr]
            found[name] = list(found.get(base, []))
        elif name:
            found[name].append(instruction)
    return found


def last(stage: str, name: str) -> str:
    """The value of a stage's last instruction of this name, which is the one that counts."""
    return [instruction.value for instruction in stages()[stage] if instruction.name == name][-1]


def command(stage: str, name: str) -> list[str]:
    """The words of a stage's last `ENTRYPOINT` or `CMD`, or of the command in its `HEALTHCHECK`."""
    value = last(stage, name)
    return list(json.loads(value[value.index("[") :]))


def environment(stage: str) -> dict[str, str]:
    """The variables that a stage sets."""
    values = [instruction.value for instruction in stages()[stage] if instruction.name == "ENV"]
    return dict(pair.split("=", 1) for value in values for pair in shlex.split(value))


def copied(stage: str) -> list[str]:
    """What a stage copies from the build context."""
    values = [instruction.value for instruction in stages()[stage] if instruction.name == "COPY"]
    return [source for value in values if "--from" not in value for source in value.split()[:-1]]


def build_wheel(folder: Path) -> Path:
    """Build the wheel in `folder` from what the Dockerfile copies for it."""
    source = folder / "source"
    for name in copied("wheel"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source / name)
    built = run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, source)
    assert built.returncode == 0, built.stdout
    return next(folder.glob("*.whl"))
