"""The wheel that the images hold serves, by their entry points."""

import sys
import venv
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gprune_vllm.settings import PruneSettings, flag_name
from tests.support import photos
from tests.support.families.llava import write_llava
from tests.support.image import build_wheel, command, environment
from tests.support.questions import ask, same
from tests.support.servers import Recipe, serve, server_environment
from tests.support.tools import ROOT, run


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter that sees vLLM, as in the images, but this project only through the installed wheel."""
    folder = tmp_path_factory.mktemp("clean")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    packages = next(folder.glob("lib/python*/site-packages"))
    # A plain path: .pth files of that folder, the editable installation's among them, are not read.
    (packages / "vllm_environment.pth").write_text(f"{Path(pytest.__file__).parents[1]}\n")
    wheel = build_wheel(tmp_path_factory.mktemp("wheel"))
    pip = (sys.executable, "-m", "pip", "--python", python)
    installed = run(*pip, "install", "--no-compile", "--no-deps", "--no-index", wheel, cwd=folder)
    assert installed.returncode == 0, installed.stdout
    for script in ("torchvision_shim.py", "vllm_distribution.py"):
        repaired = run(python, ROOT / "scripts" / script, cwd=folder)
        assert repaired.returncode == 0, repaired.stdout
    return python


def variables(stage: str, clean: Path) -> dict[str, str]:
    """The image's environment, but for its paths."""
    caches = dict.fromkeys(("HOME", "TORCHINDUCTOR_CACHE_DIR"), str(clean.parents[1]))
    return {**environment(stage), **caches, "PATH": f"{clean.parent}:/usr/bin:/bin", "PYTHONPATH": ""}


def test_installed_modules_are_the_wheels(clean: Path) -> None:
    printed = run(
        clean,
        "-E",
        "-c",
        "import gprune_vllm, gprune_server; print(gprune_vllm.__file__, gprune_server.__file__)",
        cwd="/",
    )
    assert [Path(path).is_relative_to(clean.parents[1]) for path in printed.stdout.split()] == [True, True]


@pytest.fixture
def crowded(tmp_path: Path) -> Path:
    """A folder whose packages have the names of this repository's folders, and cannot be imported."""
    for name in ("server", "evaluation", "loadtest", "deploy", "tests"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise ImportError(__name__)\n")
    return tmp_path


def test_cuda_images_entry_point_serves_llava_from_any_folder(clean: Path, crowded: Path, tmp_path: Path) -> None:
    model = write_llava(tmp_path / "model")
    _, _, program, *arguments = command("cuda", "ENTRYPOINT")  # after tini
    assert program == "vllm"
    # With -m Python looks for modules in the working directory first.
    words = ["env", "--chdir", str(crowded), str(clean), "-m", "vllm.entrypoints.cli.main", *arguments]
    recipe = Recipe(command=words, environment=variables("cuda", clean))
    with serve(model, tmp_path / "server.log", recipe=recipe) as running, ThreadPoolExecutor(8) as threads:
        alone = [ask(running, [photos.china()], ratio) for ratio in (None, 0.5, 0.7)]
        together = list(threads.map(lambda ratio: ask(running, [photos.china()], ratio), (None, 0.5, 0.7) * 4))
        shown = running.post("/v1/visual_tokens", {"images": [photos.data_url(photos.china())], "prune_ratio": 0.7})
    assert all(same(*pair) for pair in zip(together, alone * 4, strict=True))
    assert alone[2].visual_tokens == {
        "input": 64,
        "kept": 19,
        "images": 1,
        "videos": 0,
        "prune_ratio": 0.7,
        "method": "gprune",
    }
    (image,) = shown.json()["data"]
    assert [(group["name"], group["rows"], group["columns"]) for group in image["groups"]] == [("image", 8, 8)]
    assert len(image["plans"][0]["kept_indices"]["image"]) == 19


def test_cpu_images_entry_point_takes_its_arguments_and_the_settings(clean: Path) -> None:
    _, _, program, *arguments = command("cpu", "ENTRYPOINT")
    words = [clean.parent / program, *arguments, *command("cpu", "CMD"), "--help=gprune"]
    printed = run(*words, env=server_environment(variables("cpu", clean)), cwd="/")
    assert printed.returncode == 0, printed.stdout
    assert all(flag_name(field) in printed.stdout for field in PruneSettings.model_fields)
