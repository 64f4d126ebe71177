"""Training in bfloat16 with float32 master weights."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

WARM_UP = 300
COOL_DOWN = 0.3


class MasterAdamW:
    """AdamW on float32 copies of a bfloat16 model's weights: a step would often be too small for bfloat16 to hold."""

    def __init__(self, parameters: Iterable[nn.Parameter], learning_rate: float, weight_decay: float = 0.02) -> None:
        self.parameters: list[Tensor] = [parameter for parameter in parameters if parameter.requires_grad]
        self.masters = [parameter.detach().float().clone() for parameter in self.parameters]
        self.learning_rate = learning_rate
        self.optimizer = torch.optim.AdamW(
            self.masters, lr=learning_rate, betas=(0.9, 0.98), weight_decay=weight_decay, fused=True
        )

    def step(self, loss: Tensor, scale: float) -> None:
        """Take one step along the gradient of `loss`, at `scale` times the learning rate."""
        loss.backward()
        for parameter, master in zip(self.parameters, self.masters, strict=True):
            master.grad = None if parameter.grad is None else parameter.grad.float()
            parameter.grad = None
        torch.nn.utils.clip_grad_norm_(self.masters, 1.0)
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate * scale
        self.optimizer.step()
        with torch.no_grad():
            torch._foreach_copy_(self.parameters, self.masters)

    def state_dict(self) -> dict[str, Any]:
        """All that a resumed training needs."""
        return {"masters": self.masters, "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        with torch.no_grad():
            torch._foreach_copy_(self.masters, state["masters"])
            torch._foreach_copy_(self.parameters, self.masters)
        self.optimizer.load_state_dict(state["optimizer"])


def schedule(step: int, steps: int) -> float:
    """Fraction of the learning rate at a step: a linear warm-up, a plateau, and a linear cool-down to a hundredth."""
    remaining = (steps - step) / max(1, COOL_DOWN * steps)
    return min(1.0, (step + 1) / WARM_UP, max(0.01, remaining))
