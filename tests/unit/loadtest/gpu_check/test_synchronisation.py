"""What watches for waits. Whether it finds them only a GPU can tell: there the control has to be found."""

import pytest
import torch

from gprune_vllm.model import GPruneLlavaNextForConditionalGeneration
from loadtest.benchmarks.worker import PRUNING_PATH, without_waiting
from loadtest.gpu_check.synchronisation import FREE, NOT_CHECKED, check


@pytest.fixture
def modes(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The modes that CUDA was set to, were there any."""
    found: list[object] = [0]
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", found.append)
    monkeypatch.setattr(torch.cuda, "get_sync_debug_mode", lambda: found[-1])
    return found


def test_work_is_done_under_the_mode_and_the_mode_set_back(modes: list[object]) -> None:
    assert without_waiting(lambda number: (number, modes[-1]))(7) == (7, "error")
    assert modes == [0, "error", 0]


def test_the_mode_is_set_back_where_work_fails(modes: list[object]) -> None:
    with pytest.raises(ZeroDivisionError):
        without_waiting(lambda: 1 / 0)()
    assert modes == [0, "error", 0]


def test_a_wait_is_told_from_none(modes: list[object]) -> None:
    def wait() -> None:
        if modes[-1] == "error":
            raise RuntimeError("called a synchronizing CUDA operation")

    assert check(lambda: None, "cuda") == FREE
    assert check(wait, "cuda") == "waits: called a synchronizing CUDA operation"
    assert check(wait, "cpu") == NOT_CHECKED


def test_the_model_has_the_methods_that_are_watched() -> None:
    assert all(callable(getattr(GPruneLlavaNextForConditionalGeneration, name)) for name in PRUNING_PATH)
