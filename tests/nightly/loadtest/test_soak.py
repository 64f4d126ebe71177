"""Short soaks of a real server: one that goes well, and ones in which a proxy spoils something."""

import asyncio
import json
import os
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.support.faulty import Spoil, proxy
from tests.support.servers import API_KEY, Server

ROOT = Path(__file__).parents[3]


async def soak(url: str, folder: Path, *arguments: str) -> tuple[int, dict[str, Any], str]:
    """The exit status of a soak, its report, and what it printed."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loadtest.soak", "--url", url, "--output", str(folder), *arguments),
        cwd=ROOT,
        env=os.environ | {"VLLM_API_KEY": API_KEY},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    printed, _ = await process.communicate()
    report = json.loads((folder / "soak.json").read_text()) if (folder / "soak.json").exists() else {}
    assert process.returncode is not None
    return process.returncode, report, printed.decode()


def totals(report: dict[str, Any]) -> dict[str, int]:
    """How many requests ended how."""
    endings: dict[str, int] = {}
    for row in report["requests"]:
        endings[row["ending"]] = endings.get(row["ending"], 0) + row["count"]
    return endings


async def test_half_a_minute_of_traffic_leaves_no_trace(server: Server, tmp_path: Path) -> None:
    # Caches of this server are larger than what they get to hold: memory is not what this is about.
    status, report, printed = await soak(server.url, tmp_path, "--minutes", "0.5", "--allowed-megabytes", "3000")
    assert (status, report["faults"]) == (0, []), printed
    assert report["passed"]
    assert set(totals(report)) == {"answered", "refused", "aborted"}
    assert totals(report)["answered"] > 20
    assert report["probes"] > 5
    assert [curve["process"].split()[0] for curve in report["curves"]].count("VLLM::EngineCore") == 1
    assert all(len(curve["seconds"]) > 20 for curve in report["curves"] if not curve["ended"])
    assert "Passed." in (tmp_path / "soak.md").read_text()
    with Image.open(tmp_path / "memory.png") as plot:
        assert plot.size == (800, 400)


def every(turns: int, marked: bytes, change: Callable[[bytes], bytes | None]) -> Spoil:
    """Change every so many answers that have a mark."""
    numbers = count(1)

    def spoil(data: bytes) -> bytes | None:
        return change(data) if marked in data and next(numbers) % turns == 0 else data

    return spoil


SPOILT: dict[str, tuple[Spoil, str]] = {
    "a connection breaks": (every(5, b"HTTP/1.1 200", lambda data: None), "got no answer"),
    "an error of the server": (
        every(5, b"HTTP/1.1 200", lambda data: data.replace(b"HTTP/1.1 200 OK", b"HTTP/1.1 500 OK")),
        "answered by 5xx",
    ),
    "a valid request is refused": (
        every(5, b"HTTP/1.1 200", lambda data: data.replace(b"HTTP/1.1 200 OK", b"HTTP/1.1 400 OK")),
        "valid and refused",
    ),
    "an invalid request is answered": (
        every(1, b"HTTP/1.1 400", lambda data: data.replace(b"HTTP/1.1 400 Bad Request", b"HTTP/1.1 200 OK")),
        "invalid and answered",
    ),
    "an answer drifts": (
        every(2, b'"logprob":-', lambda data: data.replace(b'"logprob":-', b'"logprob": ')),
        "the probe's answer changed",
    ),
}


@pytest.mark.parametrize("name", SPOILT)
async def test_what_goes_wrong_makes_the_soak_fail(server: Server, tmp_path: Path, name: str) -> None:
    spoil, told = SPOILT[name]
    pid = str(server.process.pid)
    async with proxy(server.url, spoil) as url:
        status, report, printed = await soak(
            url, tmp_path, "--pid", pid, "--minutes", "0.15", "--allowed-megabytes", "3000"
        )
    assert status == 1
    assert any(told in fault for fault in report["faults"]), printed
    assert told in printed


async def test_memory_that_grows_makes_the_soak_fail(server: Server, tmp_path: Path) -> None:
    status, report, _ = await soak(server.url, tmp_path, "--minutes", "0.15", "--allowed-megabytes=-1000")
    assert status == 1
    assert all("grew from" in fault for fault in report["faults"])


async def test_without_a_server_there_is_no_soak(tmp_path: Path) -> None:
    status, report, printed = await soak("http://127.0.0.1:9", tmp_path)
    assert (status, report) == (1, {})
    assert printed.startswith("error: ")
    assert "Traceback" not in printed
