"""Let `import torchvision` succeed beside a CPU-only torch.

Where only the CUDA build of torchvision can be installed next to the CPU build of torch, its compiled operators do
not load, its Python side fails while registering fake kernels for two of them, and vLLM cannot even be imported.
Nothing in LLaVA-NeXT calls either operator, so declaring their schemas is enough.

`repair_environment` checks an environment and, only where it is broken in this way, adds a `.pth` file that declares
them in every process of the environment just before torchvision is imported.
"""

import sys
import sysconfig
from importlib.abc import MetaPathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
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
    """Declare the operators as soon as this process imports torchvision. Called from the `.pth` file."""
    sys.meta_path.insert(0, TorchvisionFinder())


def repair_environment() -> None:
    """Make torchvision importable in this environment, if it is broken in the way described above."""
    if find_spec("torchvision") is None:
        return
    try:
        import torchvision  # noqa: F401
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        path = Path(sysconfig.get_path("purelib")) / _PATH_FILE
        path.write_text("import gprune_vllm.torchvision_shim as shim; shim.install_finder()\n")
        print(f"torchvision's CUDA build beside a CPU torch: declared its operators in {_PATH_FILE}")
