"""`evaluation.view` draws what the server says stays."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from evaluation import view
from evaluation.file_picture import FilePicture
from tests.support import photos
from tests.support.servers import API_KEY, Server


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_API_KEY", API_KEY)


def brightness(figure: Figure, place: int) -> float:
    return float(np.asarray(figure.axes[place].images[0].get_array()).mean())


def test_a_figure_has_a_row_for_each_method_and_a_column_for_each_ratio(server: Server) -> None:
    figure = view.view(photos.china(), (0, 0.5, 0.9), ("gprune", "random"), server.url)
    titles = [axes.get_title() for axes in figure.axes]
    assert [titles[0], titles[4]] == ["gprune", "random"]
    assert [title.split(":")[0] for title in titles[1:4]] == ["0% pruned", "50% pruned", "90% pruned"]
    for row in (0, 4):
        whole, none, half, most = (brightness(figure, row + place) for place in range(4))
        assert whole == none > half > most


def test_the_command_writes_beside_the_picture(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos.flower().save(tmp_path / "flower.jpg")
    view.main([str(tmp_path / "flower.jpg"), "--ratio", "0.7", "--url", f"{server.url}/v1"])
    assert capsys.readouterr().out == f"{tmp_path / 'flower-kept.png'}\n"
    assert (tmp_path / "flower-kept.png").stat().st_size > 10_000


@pytest.mark.parametrize("kind", ["jpg", "pdf", "svg", "webp", "PNG"])
def test_the_command_writes_what_it_is_told(server: Server, tmp_path: Path, kind: str) -> None:
    output = tmp_path / "folder" / f"kept.{kind}"
    view.main(["docs/scene.png", "--url", server.url, "--output", str(output)])
    assert output.stat().st_size > 3000


def test_the_picture_that_the_server_sees_is_shown(server: Server, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned
    photos.flower().resize((120, 40)).save(tmp_path / "turned.jpg", exif=exif)
    figure = view.view(tmp_path / "turned.jpg", (0.5,), url=server.url)
    assert figure.axes[0].images[0].get_array().shape == (120, 40, 3)  # type: ignore[union-attr]
    asked = {"images": [FilePicture.read(tmp_path / "turned.jpg").url], "prune_ratio": 0.5}
    shown = server.post("/v1/visual_tokens", asked).json()["data"][0]
    assert (shown["width"], shown["height"]) == (40, 120)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ratio", "2"], "prune_ratio must be a number in"),
        (["--method", "best"], "is not enabled"),
        (["--url", "http://127.0.0.1:1"], "make serve"),
        (["--url", "nonsense"], "make serve"),
        (["--output", "kept.xyz"], "name a file that ends in .jpeg, .jpg, .pdf, .png"),
        (["--output", "kept"], "name a file that ends in"),
        (["--output", "/dev/null/kept.png"], "/dev/null"),
    ],
)
def test_mistakes_are_explained(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    photos.flower().save(tmp_path / "flower.jpg")
    with pytest.raises(SystemExit, match="1"):
        view.main([str(tmp_path / "flower.jpg"), "--url", server.url, *arguments])
    assert message in capsys.readouterr().err


def test_a_file_that_is_no_picture_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("notes")
    with pytest.raises(SystemExit, match="1"):
        view.main([str(tmp_path / "notes.txt")])
    assert "cannot identify image file" in capsys.readouterr().err
