"""A server of Qwen3-VL prunes images and videos as one of LLaVA-NeXT does: the same fields, counts and guards."""

import base64
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.support import photos
from tests.support.agreement import assert_agreement
from tests.support.families import FAMILIES
from tests.support.families.qwen_vl import QwenOracle
from tests.support.questions import QUESTION, Answer, ask, same
from tests.support.servers import MODEL, ONE_PROCESS, Server, serve

pytestmark = pytest.mark.xdist_group("qwen")

OPTIONS = (*ONE_PROCESS, "--prune-methods", "all", "--max-num-batched-tokens", "128", "--trust-request-mm-kwargs")
LIMITS = ("--max-video-frames", "40", "--max-video-pixels", "1000000", "--max-num-seqs", "16")
FRAMES = photos.generated_video(160, 120, 8)
COUNTS = ("input", "kept", "images", "videos")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return FAMILIES["qwen3_vl"].write(tmp_path_factory.mktemp("qwen") / "tiny")


@pytest.fixture(scope="module")
def qwen(checkpoint: Path) -> Iterator[Server]:
    with serve(checkpoint, checkpoint.with_suffix(".log"), *OPTIONS, *LIMITS) as server:
        yield server


def file_url(frames: np.ndarray, folder: Path) -> str:
    """A video file of these frames as a `data:` URL."""
    path = folder / "video.mp4"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 2.0, frames.shape[2:0:-1])
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
    writer.release()
    return f"data:video/mp4;base64,{base64.b64encode(path.read_bytes()).decode()}"


def frames_url(frames: np.ndarray) -> str:
    """Frames as JPEG files in one `data:` URL."""
    files = (photos.data_url(Image.fromarray(frame), "JPEG").partition(",")[2] for frame in frames)
    return f"data:video/jpeg;base64,{','.join(files)}"


def watch(server: Server, url: str, ratio: float, *images: Image.Image, **fields: Any) -> Any:
    """Ask about a video after images."""
    parts = [{"type": "image_url", "image_url": {"url": photos.data_url(image)}} for image in images]
    parts += [{"type": "video_url", "video_url": {"url": url}}, {"type": "text", "text": QUESTION}]
    body = {"model": MODEL, "messages": [{"role": "user", "content": parts}], "max_tokens": 8, "temperature": 0}
    return server.post("/v1/chat/completions", body | {"prune_ratio": ratio} | fields)


def counts(answer: Any) -> tuple[int, ...]:
    assert answer.status_code == 200, answer.text
    usage = answer.json()["usage"]["visual_tokens"]
    return tuple(usage[name] for name in COUNTS)


@pytest.mark.parametrize("ratio", [0.0, 0.5, 0.9])
def test_images_are_answered_as_the_oracle_answers(qwen: Server, checkpoint: Path, ratio: float) -> None:
    answer = assert_agreement(qwen, QwenOracle(checkpoint), [photos.china(), photos.flower()], ratio)
    assert answer.visual_tokens is not None
    assert answer.visual_tokens["images"] == 2


def test_images_and_videos_are_counted(qwen: Server, tmp_path: Path) -> None:
    before = {name: qwen.total(f"gprune_{name}_total") for name in ("images", "videos")}
    for url in (file_url(FRAMES, tmp_path), frames_url(FRAMES)):
        # 4 pairs of frames of 4 x 5 tokens, and a photo of 13 x 19
        assert counts(watch(qwen, url, 0.0)) == (80, 80, 0, 1)
        assert counts(watch(qwen, url, 0.5)) == (80, 40, 0, 1)
        assert counts(watch(qwen, url, 0.9, photos.china())) == (80 + 247, 8 + 24, 1, 1)
    assert counts(watch(qwen, url, 0.0, prune_ratio=None, visual_token_budget=13)) == (80, 12, 0, 1)
    assert qwen.total("gprune_images_total") - before["images"] == 2
    assert qwen.total("gprune_videos_total") - before["videos"] == 7


def test_crowds_of_images_are_answered_as_one_by_one(qwen: Server) -> None:
    """40 mixed requests at once: the rounding of batches may not move the answer."""
    kinds = [(image, ratio) for image in photos.photos() for ratio in (0.0, 0.3, 0.7, 0.9)]
    alone = {index: ask(qwen, [image], ratio) for index, (image, ratio) in enumerate(kinds)}
    asked = [*range(len(kinds))] * 4
    random.Random(1).shuffle(asked)

    def answer(index: int) -> Answer:
        return ask(qwen, [kinds[index][0]], kinds[index][1])

    with ThreadPoolExecutor(40) as threads:
        for index, reply in zip(asked[:40], threads.map(answer, asked[:40]), strict=True):
            assert same(reply, alone[index])


def test_limits_of_pixels_in_a_request_are_followed(qwen: Server) -> None:
    small = ask(qwen, [photos.china()], 0.5, mm_processor_kwargs={"max_pixels": 32 * 32 * 20})
    whole = ask(qwen, [photos.china()], 0.5)
    assert small.visual_tokens is not None
    assert whole.visual_tokens is not None
    assert (small.visual_tokens["input"], small.visual_tokens["kept"]) == (15, 7)
    assert (whole.visual_tokens["input"], whole.visual_tokens["kept"]) == (247, 123)


def test_kept_tokens_of_images_and_videos_are_shown(qwen: Server) -> None:
    body = {"images": [photos.data_url(photos.china())], "videos": [frames_url(FRAMES)], "prune_ratio": [0.5, 0.9]}
    answer = qwen.post("/v1/visual_tokens", body | {"scores": True})
    assert answer.status_code == 200, answer.text
    image, video = answer.json()["data"]
    assert [(each["kind"], each["width"], each["height"]) for each in (image, video)] == [
        ("image", 640, 427),
        ("video", 160, 120),
    ]
    shape = {"name": "image", "rows": 4, "columns": 5, "frames": 4}
    (group,) = video["groups"]
    assert shape.items() <= group.items()
    assert [len(step) for step in group["scores"]] == [80] * 6
    kept = video["plans"][0]["kept_indices"]["image"]
    assert [sum(index // 20 == pair for index in kept) for pair in range(4)] == [10] * 4
    assert len(image["plans"][0]["kept_indices"]["image"]) == 123


REFUSED: dict[str, tuple[str, str]] = {
    "not a video": (photos.data_url(photos.generated(8, 8)).replace("image/png", "video/mp4"), "how many frames"),
    "no video": ("data:video/mp4;base64,QUJDREVGR0g=", "format is not known"),
    "empty": ("", "URL is empty"),
    "not JPEG": ("data:video/jpeg;base64,AAAA,BBBB", "Frame 1 of the video is not a JPEG"),
    "too many pixels": (frames_url(photos.generated_video(400, 400, 8)), "--max-video-pixels"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_videos_that_cannot_be_read_are_named(qwen: Server, name: str) -> None:
    url, reason = REFUSED[name]
    answer = watch(qwen, url, 0.5)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert reason in error["message"]
    assert "Video 1" in error["message"]
    assert error["param"] == "body.messages.0.content.0.video_url.url"


def test_long_videos_are_refused_before_they_are_decoded(qwen: Server, tmp_path: Path) -> None:
    answer = watch(qwen, file_url(np.repeat(FRAMES[:1], 41, axis=0), tmp_path), 0.5)
    assert answer.status_code == 400
    assert "41 frames" in answer.json()["error"]["message"]


@pytest.mark.parametrize("number", [-1, 0, "many"])
def test_frames_that_a_request_asks_for_are_limited(qwen: Server, number: object) -> None:
    answer = watch(qwen, frames_url(FRAMES), 0.5, media_io_kwargs={"video": {"num_frames": number}})
    assert answer.status_code == 400
    assert "num_frames" in answer.json()["error"]["message"]


@pytest.mark.parametrize("text", ["<|image_pad|>", "<|video_pad|>", "<|vision_start|>"])
def test_text_that_stands_for_an_image_is_refused(qwen: Server, text: str) -> None:
    body = {"model": MODEL, "messages": [{"role": "user", "content": f"What is {text}?"}], "max_tokens": 1}
    answer = qwen.post("/v1/chat/completions", body)
    assert answer.status_code == 400
    assert text in answer.json()["error"]["message"]


def test_a_picture_a_pixel_high_is_answered(qwen: Server) -> None:
    picture = photos.data_url(photos.generated(90, 1))
    content = [{"type": "image_url", "image_url": {"url": picture}}]
    body = {"model": MODEL, "messages": [{"role": "user", "content": content}], "max_tokens": 1}
    assert qwen.post("/v1/chat/completions", body).status_code == 200
