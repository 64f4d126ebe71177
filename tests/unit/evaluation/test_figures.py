"""Figures: what they show is what happened, and there is something on them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from evaluation import gallery
from evaluation.__main__ import main
from evaluation.cell import METHODS, RATIOS, UNPRUNED
from evaluation.commands import figures
from evaluation.failure import EvaluationError
from evaluation.figures.curves import draw_cost, methods_of, pooled
from evaluation.figures.heat_maps import ranks
from evaluation.figures.pictures import dimmed
from evaluation.offline import OfflineModel
from evaluation.result import Share
from evaluation.scenes.questions import FAMILIES
from tests.support.oracle import Oracle
from tests.support.photos import china, generated


def table(methods: tuple[str, ...], ratios: tuple[float, ...]) -> Iterator[dict[str, Any]]:
    """The rows of a table in which every method loses the same with the ratio."""
    for method, ratio in [(UNPRUNED, 0.0), *((method, ratio) for method in methods for ratio in ratios)]:
        for family, tasks in FAMILIES.items():
            for task in tasks:
                row = {"method": method, "ratio": ratio, "task": task, "family": family, "questions": 50}
                yield {**row, "accuracy": round(1 - ratio / 2, 2), "flops": 1e9 * (2 - ratio)}


def is_drawn(file: Path) -> bool:
    """Whether there is more than a blank page."""
    pixels = np.asarray(Image.open(file).convert("RGB"))
    return len(np.unique(pixels.reshape(-1, 3), axis=0)) > 16 and float((pixels != 255).mean()) > 0.02


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> OfflineModel:
    return OfflineModel(str(checkpoint))


def test_all_figures_are_made(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery, "gallery", lambda world: {"wide": generated(200, 80)})
    monkeypatch.setattr(figures, "METHODS", ("gprune", "tome"))
    monkeypatch.setattr(figures, "RATIOS", (0.7,))
    monkeypatch.setattr("evaluation.figures.canvas.DPI", 40)
    (tmp_path / "table1.json").write_text(json.dumps(list(table(METHODS, RATIOS))))
    (tmp_path / "sweep.json").write_text(json.dumps(list(table(("gprune", "l2norm"), (0.1, 0.5, 0.9)))))
    assert main(["figures", "--output", str(tmp_path), "--model", str(checkpoint)]) == 0
    drawn = sorted(tmp_path.glob("*.png"))
    assert [file.stem for file in drawn] == ["figure3", "figure4", "figure5", "figure6-70"]
    assert all(is_drawn(file) for file in drawn)


def test_a_blank_page_would_be_noticed(tmp_path: Path) -> None:
    Image.new("RGB", (100, 100), "white").save(tmp_path / "blank.png")
    assert not is_drawn(tmp_path / "blank.png")


def test_flops_are_written_and_drawn(tmp_path: Path) -> None:
    assert main(["flops", "--output", str(tmp_path / "new")]) == 0
    costs = json.loads((tmp_path / "new" / "flops.json").read_text())
    assert [cost["ratio"] for cost in costs] == [step / 10 for step in range(10)]
    assert costs[7]["paper_macs"] == pytest.approx(6.69e12, rel=0.01)
    assert all(cost["true_flops"] > 1.9 * cost["paper_macs"] for cost in costs)
    assert "| 70% | 666 | 6.71 T | 6.69 T |" in (tmp_path / "new" / "flops.md").read_text()
    assert is_drawn(tmp_path / "new" / "flops.png")


def test_photos_and_scenes_are_at_hand() -> None:
    pictures = gallery.gallery()
    assert {"portrait", "temple", "flower"} < set(pictures)
    assert all(picture.mode == "RGB" and min(picture.size) >= 100 for picture in pictures.values())
    assert len({picture.tobytes() for picture in pictures.values()}) == len(pictures)


def test_a_family_is_the_questions_of_its_tasks() -> None:
    rows = [{"accuracy": 0.5, "questions": 10}, {"accuracy": 1 / 3, "questions": 30}]
    assert pooled(rows) == Share(15, 40)
    assert methods_of(list(table(("b", "a"), (0.5,)))) == ["b", "a"]


def test_costs_that_are_not_known_are_not_drawn(tmp_path: Path) -> None:
    rows = [{**row, "flops": None} for row in table(("gprune",), (0.5,))]
    with pytest.raises(EvaluationError, match="no FLOPs"):
        draw_cost(rows, tmp_path / "figure3.png")


def test_heat_tells_the_order_of_scores() -> None:
    assert ranks(torch.tensor([3.0, -1.0, 100.0])).tolist() == [0.5, 0.0, 1.0]


def test_pictures_are_dark_where_tokens_are_dropped() -> None:
    kept = np.array([[True, False], [False, False]])
    shown = np.asarray(dimmed(Image.new("RGB", (40, 20), (200, 100, 50)), kept))
    assert shown[5, 5].tolist() == [200, 100, 50]
    assert shown[5, 30].tolist() == shown[15, 5].tolist() == [36, 18, 9]


def test_the_tower_is_read_where_the_oracle_reads_it(model: OfflineModel, oracle: Oracle) -> None:
    picture = china()
    pixels = model.processor.image_processor(picture, return_tensors="pt")["pixel_values"][0]
    base, grid = oracle.tower_features(pixels, [picture.height, picture.width])
    seen = model.see(picture)
    torch.testing.assert_close(seen.features[0], base)
    torch.testing.assert_close(seen.grid_features(model.plan(picture)), grid.flatten(0, 1))


def test_attention_is_a_share_of_what_the_class_token_spends(model: OfflineModel) -> None:
    seen = model.see(china())
    assert seen.attention.shape == seen.features.shape[:2] == seen.keys.shape[:2]
    assert (seen.attention > 0).all()
    assert (seen.attention.sum(dim=-1) < 1).all()


def test_patches_shown_are_those_the_oracle_keeps(model: OfflineModel, oracle: Oracle) -> None:
    picture = china()
    (pruned,) = oracle.prune([picture], 0.7)
    kept = model.kept(model.see(picture), "gprune", 0.7)
    assert kept.flatten().nonzero().squeeze(-1).tolist() == pruned.kept[1].tolist()


@pytest.mark.parametrize("method", METHODS)
def test_every_method_keeps_as_many_patches(model: OfflineModel, method: str) -> None:
    kept = model.kept(model.see(china()), method, 0.9)
    assert int(kept.sum()) == model.plan(china(), 0.9).groups[1].kept
