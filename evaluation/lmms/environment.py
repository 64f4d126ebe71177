"""An interpreter that has lmms-eval.

Some of its pinned packages would replace vLLM's, so it gets an environment of its own, which takes from this one all
that it can. Of what lmms-eval asks for, it gets what the paper's benchmarks import.
"""

import importlib.util
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

from evaluation.failure import EvaluationError

VERSION = "0.7.3"
PACKAGES = (
    "accelerate>=1.10",
    "datasets>=5.2",
    "evaluate>=0.4.6",
    "openpyxl>=3.1",
    "pytablewriter>=1.2",
    "pytz>=2026.1",
    "sacrebleu>=2.6",
    "tenacity>=9.1",
)
WANTED = " ".join((*PACKAGES, VERSION))
ENVIRONMENT = Path(__file__).parents[2] / ".cache" / "tools" / ".venv" / f"lmms-eval-{VERSION}"


def interpreter() -> Path:
    """This interpreter if it has lmms-eval, else that of `ENVIRONMENT`, which is made where it is missing.

    Raises:
        EvaluationError: lmms-eval cannot be installed.
    """
    if importlib.util.find_spec("lmms_eval"):
        return Path(sys.executable)
    ready = ENVIRONMENT / "ready"
    if not ready.exists() or ready.read_text() != WANTED:
        print(f"Installing lmms-eval {VERSION} into {ENVIRONMENT}", file=sys.stderr)
        create()
        ready.write_text(WANTED)
    return ENVIRONMENT / "bin" / "python"


def create() -> None:
    """Make the environment. It sees the packages of this one behind its own."""
    venv.create(ENVIRONMENT, clear=True, symlinks=True)
    packages = ENVIRONMENT / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    shared = sysconfig.get_path("purelib")
    (packages / "shared.pth").write_text(f"import site; site.addsitedir({shared!r})\n")
    install(*PACKAGES)
    install("--no-deps", f"lmms-eval=={VERSION}")


def install(*arguments: str) -> None:
    """Install packages into the environment, with the pip of this one."""
    pip = [str(ENVIRONMENT / "bin" / "python"), "-m", "pip", "install"]
    options = ["--quiet", "--no-compile", "--no-warn-conflicts", *arguments]
    done = subprocess.run([*pip, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise EvaluationError(f"lmms-eval cannot be installed:\n{done.stdout}")
