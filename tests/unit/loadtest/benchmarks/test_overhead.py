"""What the overhead benchmark sends, and what it makes of the answers' times."""

import random

from loadtest.benchmarks.overhead import (
    PICTURE,
    RATIO_0,
    TEXT,
    as_markdown,
    compared,
    draw,
    request,
)


def test_only_ours_is_told_a_ratio_and_no_request_is_like_another() -> None:
    source = random.Random(0)
    bodies = [request("tiny", kind, source) for kind in (TEXT, PICTURE, RATIO_0) for _ in range(5)]
    assert [body["extra_body"] for body in bodies] == [{}] * 10 + [{"prune_ratio": 0}] * 5
    contents = [[part["type"] for part in body["messages"][0]["content"]] for body in bodies]
    assert contents == [["text"]] * 5 + [["image_url", "text"]] * 10
    assert len({str(body["messages"]) for body in bodies}) == len(bodies)
    assert {body["max_tokens"] for body in bodies} == {1}


def test_the_report_tells_by_how_much_longer_ours_takes() -> None:
    found = {kind: compared([0.1, 0.1, 0.1], [0.103, 0.103, 0.103]) for kind in (TEXT, PICTURE, RATIO_0)}
    text = "\n".join(as_markdown(found))
    assert "Medians of 3 requests" in text
    for kind in found:
        assert f"| {kind} | 100 ms (100 ms to 100 ms) | 103 ms (103 ms to 103 ms) | 3.0 % (3.0 % to 3.0 %) |" in text
    assert [axes.get_title() for axes in draw(found).axes] == list(found)
