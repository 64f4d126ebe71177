"""Let `import torchvision` succeed beside a CPU-only torch.

Some package indexes offer only the CUDA build of torchvision. Beside the CPU build of torch its compiled operators do
not load. Its Python side then fails while it registers fake kernels for two of them, and vLLM cannot be imported.
The models served here call neither operator, so it is enough to declare their schemas.

`python scripts/torchvision_shim.py` checks the environment of that Python. Only where it is broken in this way, it
copies this file into the environment, and adds a `.pth` file that imports the copy when Python starts. The copy
declares the operators just before torchvision is imported.
"""

import shutil
import sys
import sysconfig
from importlib.abc import MetaPathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_COPY = "gprune_torchvision_shim"
_PATH_FILE = "gprune_torchvision.pth"


def declare_torchvision_operators() -> None:
    """Declare the operators that `import torchvision` needs, unless its own library can. Call it before that import."""
    import torch

    if not _own_library_loads():
        for name in ("nms", "qnms"):
            if not hasattr(torch.ops.torchvision, name):
                torch.library.define(f"torchvision::{name}", _SCHEMA)


def _own_library_loads() -> bool:
    import torch

    spec = find_spec("torchvision")
    if spec is None or spec.origin is None:
        return True  # nothing to repair
    libraries = list(Path(spec.origin).parent.glob("_C*.so"))
    try:
        for library in libraries:
            torch.ops.load_library(str(library))
    except OSError:
        return False
    return bool(libraries)


class TorchvisionFinder(MetaPathFinder):
    """Finds no module, but declares the operators when torchvision is first looked for."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        if fullname == "torchvision":
            # A new list: the import system is walking the present one.
            sys.meta_path = [finder for finder in sys.meta_path if finder is not self]
            declare_torchvision_operators()


def install_finder() -> None:
    """Declare the operators as soon as this process imports torchvision. The `.pth` file calls this."""
    sys.meta_path.insert(0, TorchvisionFinder())


def repair_environment() -> None:
    """Make torchvision importable in this environment, if it is broken in the way described above."""
    folder = Path(sysconfig.get_path("purelib"))
    copy, path_file = folder / f"{_COPY}.py", folder / _PATH_FILE
    # An earlier repair must not hide what it repairs. Its class may come from another version of this file.
    sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__name__ != TorchvisionFinder.__name__]
    if _is_broken():
        shutil.copyfile(__file__, copy)
        path_file.write_text(f"import {_COPY} as shim; shim.install_finder()\n")
        print(f"torchvision's CUDA build beside a CPU torch: declared its operators in {_PATH_FILE}")
    else:
        for file in (path_file, copy):
            file.unlink(missing_ok=True)


def _is_broken() -> bool:
    if find_spec("torchvision") is None:
        return False
    try:
        import torchvision  # noqa: F401
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        return True
    return False


if __name__ == "__main__":
    repair_environment()
