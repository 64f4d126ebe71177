"""What the server takes from clients at most: one validated model, from flags or `GPRUNE_...` variables."""

from typing import Annotated

from pydantic import Field, field_validator

from gprune_server.guard.addresses import AddressRule
from gprune_vllm.settings import OperatorSettings

MEBIBYTE = 1024 * 1024
Count = Annotated[int, Field(ge=1)]


class Limits(OperatorSettings):
    """What one server takes from clients at most.

    Raises:
        pydantic.ValidationError: a value is out of range.
    """

    max_request_bytes: Count = Field(64 * MEBIBYTE, description="Refuse request bodies of more bytes, with 413.")
    max_image_bytes: Count = Field(20 * MEBIBYTE, description="Refuse images of more bytes, encoded.")
    max_image_pixels: Count = Field(32_000_000, description="Refuse images of more pixels, before decoding them.")
    max_request_sequences: Count = Field(
        128, description="Refuse requests for more sequences, which are their prompts times 'n'."
    )
    media_networks: str = Field(
        "",
        description="Networks, in CIDR notation and separated by commas, from which images may be fetched as they are "
        "from public addresses. Their hosts must be among --allowed-media-domains.",
    )
    media_fetch_seconds: Annotated[float, Field(gt=0, le=600)] = Field(
        30, description="Seconds that fetching an image may take, repetitions and all."
    )

    @field_validator("media_networks")
    @classmethod
    def _are_networks(cls, networks: str) -> str:
        AddressRule.parse(networks)
        return networks
