"""`/v1/visual_tokens` shows what is served: the oracle's kept tokens, and the counts that chats report."""

from typing import Any

import httpx
import pytest

from gprune_vllm.methods.gprune import gprune_scores
from tests.support import photos
from tests.support.oracle import Oracle
from tests.support.questions import ask
from tests.support.servers import MODEL, Server

PATH = "/v1/visual_tokens"
IMAGES = {"china": photos.china(), "tall": photos.generated(100, 300), "pixel": photos.generated(1, 1)}
METHODS = ("gprune", "l2norm", "divprune", "visionzip", "tome")


def show(server: Server, **fields: Any) -> list[Any]:
    answer = server.post(PATH, {"images": [photos.data_url(image) for image in IMAGES.values()], **fields})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["data"])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("amount", [{"prune_ratio": 0.7}, {"visual_token_budget": 40}])
def test_kept_tokens_are_those_of_an_independent_computation(
    server: Server, oracle: Oracle, method: Any, amount: dict[str, Any]
) -> None:
    shown = show(server, prune_method=method, **amount)
    pruned = oracle.prune(
        list(IMAGES.values()), amount.get("prune_ratio", 0), method=method, budget=amount.get("visual_token_budget")
    )
    for image, expected in zip(shown, pruned, strict=True):
        (plan,) = image["plans"]
        assert plan["kept_indices"] == dict(
            zip(("base", "grid"), (index.tolist() for index in expected.kept), strict=True)
        )
        assert plan["kept"] == len(expected.embeddings)


def test_each_ratio_is_shown_with_each_method(server: Server) -> None:
    ratios = [0, 0.5, 0.9]
    for image in show(server, prune_ratio=ratios, prune_method=["gprune", "random"]):
        asked = [(plan["prune_ratio"], plan["method"]) for plan in image["plans"]]
        assert asked == [(ratio, method) for ratio in ratios for method in ("gprune", "random")]
        whole = image["plans"][0]["kept_indices"]
        assert [len(whole[group["name"]]) for group in image["groups"]] == [
            group["rows"] * group["columns"] for group in image["groups"]
        ]


@pytest.mark.parametrize("method", ["gprune", "random"])
def test_counts_are_those_of_a_chat(server: Server, method: str) -> None:
    for image, shown in zip(IMAGES.values(), show(server, prune_ratio=0.7, prune_method=method), strict=True):
        (plan,) = shown["plans"]
        usage = ask(server, [image], 0.7, prune_method=method, max_tokens=1).visual_tokens
        assert usage is not None
        told = {name: plan[name] for name in ("input", "kept", "prune_ratio", "method")}
        assert told | {"images": 1, "videos": 0} == usage


def test_scores_lead_from_norms_to_the_selection(server: Server, oracle: Oracle) -> None:
    (shown,) = show(server, prune_ratio=0.5, scores=True, images=[photos.data_url(IMAGES["china"])])
    inputs = oracle.processor.image_processor([IMAGES["china"]], return_tensors="pt")
    base, _ = oracle.tower_features(inputs["pixel_values"][0], inputs["image_sizes"][0].tolist())
    scores = shown["groups"][0]["scores"]
    assert len(scores) == 6
    assert scores[0] == pytest.approx(base.norm(dim=-1).tolist(), rel=1e-4)
    assert scores[5] == pytest.approx(gprune_scores(base).tolist(), rel=1e-3)
    best = sorted(range(len(scores[5])), key=lambda token: -scores[5][token])[: len(scores[5]) // 2]
    assert sorted(best) == shown["plans"][0]["kept_indices"]["base"]


REFUSED: list[tuple[dict[str, Any], int, str | None]] = [
    ({"prune_ratio": 1}, 400, "prune_ratio"),
    ({"prune_ratio": [0.5, "0.5"]}, 400, "prune_ratio"),
    ({"prune_ratio": []}, 400, "prune_ratio"),
    ({"prune_ratio": [0.5] * 65}, 400, "prune_ratio"),
    ({"prune_ratio": 0.5, "visual_token_budget": 9}, 400, "visual_token_budget"),
    ({"visual_token_budget": [0]}, 400, "visual_token_budget"),
    ({"prune_method": "fastv"}, 400, "prune_method"),
    ({"images": []}, 400, "body.images"),
    ({"images": ["data:image/png;base64,AAAA"]}, 400, "body.images.0"),
    ({"images": ["http://localhost/picture.png"]}, 400, "body.images.0"),
    ({"images": [photos.data_url(IMAGES["pixel"])] * 17}, 400, "body.images"),
    ({"images": 5}, 400, "body.images"),
    ({"prune_ration": 0.5}, 400, "body.prune_ration"),
    ({"model": "other"}, 404, "model"),
]


@pytest.mark.parametrize(("fields", "status", "param"), REFUSED)
def test_what_cannot_be_shown_is_refused(server: Server, fields: dict[str, Any], status: int, param: str) -> None:
    answer = server.post(PATH, {"images": [photos.data_url(IMAGES["pixel"])], "model": MODEL, **fields})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (status, status, param)


def test_a_key_is_asked_for(server: Server) -> None:
    assert httpx.post(f"{server.url}{PATH}", json={}, timeout=30).status_code == 401
