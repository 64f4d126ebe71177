"""`/v1/visual_tokens` knows the models that chats know, and names its own fields."""

from types import SimpleNamespace
from typing import Any

import pytest
from vllm.exceptions import VLLMValidationError

from gprune_server.api.visual_token_schema import VisualTokensRequest
from gprune_server.api.visual_tokens import VisualTokens


class Chat:
    """A chat handler that serves `base` and the adapter `adapter`."""

    models = SimpleNamespace(is_base_model=lambda name: name == "base")

    async def _check_model(self, request: Any) -> str | None:
        return None if request.model in (None, "base", "adapter") else "unknown"


def shown(tower: bool | None) -> VisualTokens:
    made = VisualTokens.__new__(VisualTokens)
    lora = None if tower is None else SimpleNamespace(enable_tower_connector_lora=tower)
    made._engine = SimpleNamespace(vllm_config=SimpleNamespace(lora_config=lora))
    return made


@pytest.mark.parametrize("tower", [None, False, True])
@pytest.mark.parametrize(("model", "expected"), [(None, None), ("base", None), ("other", "unknown")])
async def test_models_are_those_of_chats(tower: bool | None, model: str | None, expected: str | None) -> None:
    request = VisualTokensRequest(model=model, images=["data:"])
    assert await shown(tower).check_model(request, Chat()) == expected


async def test_adapters_are_shown_unless_they_apply_to_the_tower() -> None:
    request = VisualTokensRequest(model="adapter", images=["data:"])
    assert await shown(False).check_model(request, Chat()) is None
    with pytest.raises(VLLMValidationError) as raised:
        await shown(True).check_model(request, Chat())
    assert raised.value.parameter == "model"
