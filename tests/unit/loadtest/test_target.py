"""A server's metrics are read by their whole names, for as long as they are watched."""

import asyncio
from dataclasses import replace

from loadtest.target import reach, samples, visual_tokens
from tests.unit.loadtest.made import Fake, serving

METRICS = """\
# TYPE waiting gauge
waiting{engine="0"} 3.0
waiting{engine="1"} 2.0
# TYPE waiting_by_reason gauge
waiting_by_reason{reason="capacity"} 5.0
# TYPE answered counter
answered_total 7.0
"""


def test_samples_are_found_by_their_whole_name() -> None:
    assert [sample.value for sample in samples(METRICS, "waiting")] == [3, 2]
    assert [sample.value for sample in samples(METRICS, "answered_total", "waiting_by_reason")] == [5, 7]
    assert samples(METRICS, "absent") == samples("", "waiting") == []


def test_visual_tokens_are_summed_over_servers_and_counted_from_a_look_on() -> None:
    fake = Fake(bodies=[{}, {}])
    before = visual_tokens(fake.metrics())
    fake.bodies.append({})
    assert (visual_tokens(fake.metrics()) - before).tolist() == [1, 100, 25]
    assert visual_tokens(fake.metrics() + fake.metrics()).tolist() == [6, 600, 150]


async def test_servers_are_watched_until_the_end_one_that_is_away_in_vain() -> None:
    with serving(Fake(kept=None)) as fake:
        target = replace(reach(fake.url), metrics_urls=(fake.url, "http://127.0.0.1:9"))
        async with target.watched(lambda text: "other_total" in text, 0.01) as seen:
            while len(seen) < 3:
                await asyncio.sleep(0.01)
        so_far = len(seen)
        await asyncio.sleep(0.1)
    assert seen == [True] * so_far
