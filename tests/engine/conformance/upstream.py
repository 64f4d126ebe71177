"""vLLM's own tests, which are never part of this repository.

`python -m tests.engine.conformance.upstream` fetches them from the package index into `.cache/conformance`.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

VERSION = "0.32.0"
SHA256 = "d2c957d5eee3d0985012151315ddc62cbe0cd368fc96a5fc3510438d9dddf2ad"
CACHE = Path(__file__).parents[3] / ".cache" / "conformance"
FOLDER = CACHE / f"vllm-{VERSION}"
EXAMPLE_PLUGIN = "vllm_add_dummy_endpoint_plugin"
"""A plugin that some of vLLM's tests expect to be installed."""


class UnavailableError(Exception):
    """vLLM's tests are not there, or cannot be had: there is no package index, for one."""


def upstream() -> Path:
    """The folder with vLLM's `tests`, and their example of a plugin in `site`.

    Raises:
        UnavailableError: they were not fetched.
    """
    if not FOLDER.exists():
        raise UnavailableError(f"{FOLDER} is missing: python -m tests.engine.conformance.upstream fetches it")
    return FOLDER


def fetch() -> None:
    """Fetch them, unless they are there.

    Raises:
        UnavailableError: they cannot be fetched.
    """
    if FOLDER.exists():
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
        unpacked = unpack(download(Path(scratch)))
        install_example_plugin(unpacked)
        shutil.move(unpacked, FOLDER)


def download(folder: Path) -> Path:
    """vLLM's source distribution, from whatever index pip is configured for.

    pip asks even what it only downloads for metadata, and so runs vLLM's `setup.py`: told to build for no device, that
    needs no more than setuptools and its extensions, and ends in seconds.
    """
    requirement = folder / "requirements.txt"
    requirement.write_text(f"vllm=={VERSION} --hash=sha256:{SHA256}\n")
    options = ("--no-deps", "--no-binary", "vllm", "--no-build-isolation", "--require-hashes", "--dest", folder)
    environment = {"VLLM_TARGET_DEVICE": "empty", "VLLM_VERSION_OVERRIDE": VERSION}
    pip("download", *options, "--requirement", requirement, environment=environment)
    return folder / f"vllm-{VERSION}.tar.gz"


def unpack(archive: Path) -> Path:
    """The folder of the distribution, with its tests and the configuration of pytest."""
    root = f"vllm-{VERSION}"
    wanted = (f"{root}/tests/", f"{root}/pyproject.toml")
    with tarfile.open(archive) as distribution:
        members = [member for member in distribution if member.name.startswith(wanted)]
        distribution.extractall(archive.parent, members, filter="data")
    return archive.parent / root


def install_example_plugin(folder: Path) -> None:
    """Install the plugin beside the tests, where only their process looks."""
    source = folder / "tests" / "plugins" / EXAMPLE_PLUGIN
    pip("install", "--no-deps", "--no-build-isolation", "--no-index", "--target", folder / "site", source)


def pip(*arguments: str | Path, environment: dict[str, str] | None = None) -> None:
    """Run pip quietly.

    Raises:
        UnavailableError: it did not succeed; the message is what it said.
    """
    command = [sys.executable, "-m", "pip", arguments[0], "--quiet", *arguments[1:]]
    done = subprocess.run(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | (environment or {}),
        check=False,
    )
    if done.returncode:
        raise UnavailableError(done.stdout[-2000:])


if __name__ == "__main__":
    try:
        fetch()
    except UnavailableError as error:
        sys.exit(f"vLLM's tests cannot be fetched:\n{error}")
