"""What a module of a model is called with, without a change to the model."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


class _Listener(nn.Module):
    """Stands in for a module and keeps what it is called with."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module, self.caught = module, []  # type: ignore[var-annotated]

    def forward(self, *inputs: Any, **options: Any) -> Any:
        self.caught.append(inputs[0])
        return self.module(*inputs, **options)


@contextmanager
def caught_inputs(parent: nn.Module, name: str) -> Iterator[list[Any]]:
    """Collect the first argument of each call of a module's child inside.

    A hook would not do: a module that vLLM may compile (`support_torch_compile`) calls none.
    """
    module = getattr(parent, name)
    listener = _Listener(module)
    setattr(parent, name, listener)
    try:
        yield listener.caught
    finally:
        setattr(parent, name, module)
