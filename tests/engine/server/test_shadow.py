"""The unpruned model judges chosen answers behind the client, whatever endpoint gave them."""

from collections.abc import Iterator

import pytest

from evaluation.sample import Sample, load_samples
from tests.support.questions import ask, chosen_id
from tests.support.servers import Server
from tests.support.waiting import wait_until

MODEL = "gprune-demo"
JUDGED = 'gprune_shadow_total{outcome="judged"}'


@pytest.fixture(scope="module")
def sample() -> Sample:
    """A question whose answer is in the picture's text."""
    return next(each for each in load_samples(3) if each.task == "reading")


@pytest.fixture
def judged(demo_server: Server) -> Iterator[Server]:
    """The demo server; when the test is over, each answer that was chosen is judged."""
    before = demo_server.metrics()
    yield demo_server
    after = demo_server.metrics()
    outcomes = {name for name in after if name.startswith("gprune_shadow_total") and after[name] > before[name]}
    assert outcomes == {JUDGED}


def agreement(server: Server, ratio_bucket: str, method: str) -> tuple[float, float]:
    """The number of judged answers, and the sum of their agreements."""
    labels = f'{{method="{method}",ratio_bucket="{ratio_bucket}",source="request"}}'
    count, total = (f"gprune_shadow_agreement_{name}{labels}" for name in ("count", "sum"))
    metrics = server.metrics()
    return metrics.get(count, 0.0), metrics.get(total, 0.0)


def judge(server: Server, sample: Sample, ratio: float, method: str, bucket: str) -> float:
    """Ask, wait until the answer is judged, and return its agreement."""
    count, total = agreement(server, bucket, method)
    asked = {"request_id": chosen_id(), "prune_method": method, "ignore_eos": False}
    ask(server, [sample.picture.image], ratio, sample.question, 8, MODEL, **asked)
    wait_until(lambda: agreement(server, bucket, method)[0] == count + 1)
    return agreement(server, bucket, method)[1] - total


def test_an_unpruned_greedy_answer_agrees_with_itself(judged: Server, sample: Sample) -> None:
    assert judge(judged, sample, 0, "gprune", "0") == 1


def test_a_bad_method_agrees_less(judged: Server, sample: Sample) -> None:
    assert judge(judged, sample, 0.98, "random", "0.7-1") < 1


def test_a_judgement_counts_as_no_prompt_of_ours(judged: Server, sample: Sample) -> None:
    counted = ("gprune_requests_total", "gprune_images_total", "gprune_time_to_first_token_seconds_count")
    before = [judged.total(name) for name in counted]
    judge(judged, sample, 0.7, "gprune", "0.5-0.7")
    assert [judged.total(name) for name in counted] == [each + 1 for each in before]


def test_streams_are_judged(judged: Server, sample: Sample) -> None:
    before = judged.metrics()[JUDGED]
    picture = {"type": "image_url", "image_url": {"url": sample.picture.url}}
    stream = judged.client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": [picture, {"type": "text", "text": sample.question}]}],  # type: ignore[list-item,misc]
        max_tokens=8,
        stream=True,
        extra_body={"prune_ratio": 0.5, "request_id": chosen_id()},
    )
    assert list(stream)
    wait_until(lambda: judged.metrics()[JUDGED] == before + 1)


def test_text_alone_and_requests_that_are_not_chosen_are_not_judged(demo_server: Server, sample: Sample) -> None:
    before = demo_server.total("gprune_shadow_total")
    ask(demo_server, [], question="Hello", max_tokens=2, model=MODEL, request_id=chosen_id())
    ask(demo_server, [sample.picture.image], 0.7, max_tokens=2, model=MODEL)
    ask(demo_server, [sample.picture.image], 0.7, max_tokens=2, model=MODEL)
    assert demo_server.total("gprune_shadow_total") == before
