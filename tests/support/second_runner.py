"""A pytest plugin that has engines run vLLM's second model runner: `-p tests.support.second_runner`.

It is the default on GPUs. vLLM 0.32 has it for CPUs too, but asks for a Triton with a backend named "cpu". A name is
enough where Triton's interpreter runs the kernels. Neither Triton nor vLLM may have been imported before.
"""

import os

RUNNER = {"TRITON_INTERPRET": "1", "VLLM_USE_V2_MODEL_RUNNER": "1"}
os.environ.update(RUNNER)

import triton.backends  # noqa: E402, with the interpreter

from tests.support.engine import ENVIRONMENT  # noqa: E402

ENVIRONMENT.update(RUNNER)


class Driver:
    """Stands in for the driver of a backend."""

    @staticmethod
    def is_active() -> bool:
        return True


class Backend:
    """Stands in for a backend. The interpreter needs no compiler."""

    driver, compiler = Driver, None


triton.backends.backends["cpu"] = Backend
