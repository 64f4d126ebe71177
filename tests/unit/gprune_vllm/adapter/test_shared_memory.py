"""A server whose shared memory is too small for vLLM's queues does not start, and says what to do."""

import inspect
import shutil
import subprocess
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import vllm.envs
from vllm.distributed.device_communicators.shm_broadcast import MessageQueue
from vllm.platforms import current_platform

from gprune_vllm.adapter import shared_memory
from gprune_vllm.adapter.shared_memory import LARGEST_QUEUE, MIB, check_shared_memory

Usage = namedtuple("Usage", "total used free")


def check(backend: str) -> None:
    parallel: Any = SimpleNamespace(distributed_executor_backend=backend)
    check_shared_memory(parallel)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Docker container's shared memory."""
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(64 * MIB, 2 * MIB, 62 * MIB))


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 MiB in memory."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", tmp_path], capture_output=True)
    if mounted.returncode:
        pytest.skip("only root may mount a file system")
    yield tmp_path
    subprocess.run(["umount", tmp_path], check=True)


@pytest.mark.usefixtures("small")
def test_message_names_the_way_out_of_docker_and_kubernetes() -> None:
    message = r"/dev/shm has 62 MiB free, .* need 240 MiB.* --shm-size=1g; on Kubernetes, .*`medium: Memory` there"
    with pytest.raises(ValueError, match=message):
        check("mp")


def test_a_real_file_system_is_measured(tmpfs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_memory, "SHARED_MEMORY", tmpfs)
    with pytest.raises(ValueError, match=f"{tmpfs} has 64 MiB free"):
        check("mp")


@pytest.mark.usefixtures("small")
def test_an_engine_without_workers_of_its_own_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(current_platform), "is_cpu", lambda self: False)
    check("uni")


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(("multiprocessing", "refused"), [(True, True), (False, False)])
def test_on_a_cpu_a_single_worker_has_a_process(
    multiprocessing: bool, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(current_platform), "is_cpu", lambda self: True)
    monkeypatch.setattr(vllm.envs, "VLLM_ENABLE_V1_MULTIPROCESSING", multiprocessing)
    if refused:
        with pytest.raises(ValueError, match="--shm-size"):
            check("uni")
    else:
        check("uni")


def test_enough_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(LARGEST_QUEUE, 0, LARGEST_QUEUE))
    check("mp")


def test_the_queue_is_as_large_as_vllms() -> None:
    defaults = inspect.signature(MessageQueue.__init__).parameters
    assert defaults["max_chunk_bytes"].default * defaults["max_chunks"].default == LARGEST_QUEUE
