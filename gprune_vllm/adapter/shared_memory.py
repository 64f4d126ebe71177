"""Refuse to start where shared memory is too small. A container has 64 MiB unless it is given more."""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import vllm.envs
from vllm.platforms import current_platform

if TYPE_CHECKING:
    from vllm.config import ParallelConfig

SHARED_MEMORY = Path("/dev/shm")
MIB = 2**20
LARGEST_QUEUE = 10 * 24 * MIB
"""Bytes of the queue by which a worker answers: the defaults of vLLM 0.32's `MessageQueue`."""


def check_shared_memory(parallel_config: "ParallelConfig") -> None:
    """Refuse to start workers whose queues do not fit. vLLM checks this after minutes, in a child process.

    Raises:
        ValueError: the message names the ways out.
    """
    if not (SHARED_MEMORY.is_dir() and _has_workers(parallel_config)):
        return
    free = shutil.disk_usage(SHARED_MEMORY).free
    if free < LARGEST_QUEUE:
        raise ValueError(
            f"{SHARED_MEMORY} has {free // MIB} MiB free, and vLLM's workers need {LARGEST_QUEUE // MIB} MiB. Start "
            f"the container with --shm-size=1g; on Kubernetes, mount an emptyDir with `medium: Memory` there."
        )


def _has_workers(parallel_config: "ParallelConfig") -> bool:
    """Whether the engine talks to workers in processes of their own. On a CPU vLLM decides that after this check."""
    if current_platform.is_cpu() and vllm.envs.VLLM_ENABLE_V1_MULTIPROCESSING:
        return True
    return bool(parallel_config.distributed_executor_backend == "mp")
