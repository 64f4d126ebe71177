"""The gate between the traffic and the probe."""

import asyncio

from loadtest.soak.gate import Gate


async def test_the_gate_waits_for_what_is_under_way_and_holds_back_the_rest() -> None:
    gate, seen, finish = Gate(), list[str](), asyncio.Event()

    async def pass_through(name: str) -> None:
        async with gate.passage():
            seen.append(f"{name} begins")
            await finish.wait()
            seen.append(f"{name} ends")

    async def probe() -> None:
        async with gate.closed():
            seen.append("alone")
            await asyncio.sleep(0.01)
            seen.append("no longer alone")

    async with asyncio.TaskGroup() as group:
        group.create_task(pass_through("early"))
        await asyncio.sleep(0.01)
        group.create_task(probe())
        await asyncio.sleep(0.01)
        group.create_task(pass_through("late"))
        await asyncio.sleep(0.01)
        assert seen == ["early begins"]
        finish.set()
    assert seen == ["early begins", "early ends", "alone", "no longer alone", "late begins", "late ends"]


async def test_a_request_that_fails_leaves_the_gate() -> None:
    gate = Gate()
    try:
        async with gate.passage():
            raise RuntimeError
    except RuntimeError:
        pass
    async with asyncio.timeout(5), gate.closed():
        pass
