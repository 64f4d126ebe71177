"""A picture in a file is shown as a server shows it to the model."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluation.failure import EvaluationError
from evaluation.file_picture import FilePicture
from gprune_server.guard.image_io import GuardedImageIO
from tests.support.png import COLOUR, GREY, png, transparent

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (24, 40, 4), dtype=np.uint8), "RGBA")
LEVELS = Image.fromarray(np.linspace(0, 65535, 24 * 40).reshape(24, 40).astype(np.uint16))


def encoded(image: Image.Image, kind: str = "PNG", orientation: int = 1) -> bytes:
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = orientation
    image.save(buffer, kind, exif=exif)
    return buffer.getvalue()


FILES = {
    **{f"PNG {mode}": encoded(NOISE.convert(mode)) for mode in ("RGB", "RGBA", "L", "LA", "P", "1")},
    **{f"turned {number}": encoded(NOISE.convert("RGB"), "JPEG", number) for number in range(2, 9)},
    "PNG of 16 bits": encoded(LEVELS),
    "a hidden colour": png(8, COLOUR, [[1, 2, 3, 4, 5, 6]], transparent(1, 2, 3)),
    "a hidden colour of 16 bits": png(16, COLOUR, [[1, 2, 3, 4, 5, 6]], transparent(1, 2, 3)),
    "a hidden grey of 2 bits": png(2, GREY, [[0, 1, 2, 3]], transparent(2)),
    "GIF": encoded(NOISE, "GIF"),
    "WebP": encoded(NOISE, "WEBP"),
    "inks": encoded(NOISE.convert("RGB").convert("CMYK"), "JPEG"),
}


@pytest.mark.parametrize("name", FILES)
def test_what_is_shown_is_what_is_served(name: str) -> None:
    served = GuardedImageIO(10_000, 100_000).load_bytes(FILES[name]).media
    shown = FilePicture.of(FILES[name]).seen
    assert (shown.mode, shown.size, shown.tobytes()) == ("RGB", served.size, served.tobytes())


def test_the_file_itself_is_sent(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(FILES["turned 6"])
    assert FilePicture.read(tmp_path / "a.jpg").content == FILES["turned 6"]


@pytest.mark.parametrize(("content", "told"), [(b"notes", "text"), (b"", "empty"), (FILES["GIF"][:40], "damaged")])
def test_a_file_that_is_no_picture_is_named(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(EvaluationError, match=f"{tmp_path / 'a'}: cannot identify image file.*{told}"):
        FilePicture.read(tmp_path / "a")


def test_the_viewer_starts_without_what_takes_seconds_to_import() -> None:
    program = "import evaluation.view, sys; print(*{'vllm', 'torch', 'openai', 'matplotlib'} & {*sys.modules})"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "\n"
