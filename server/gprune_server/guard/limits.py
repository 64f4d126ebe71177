"""Limits on client requests: one validated model, from flags or `GPRUNE_...` environment variables."""

from functools import lru_cache
from typing import Annotated

from pydantic import Field, field_validator

from gprune_server.guard.addresses import AddressRule
from gprune_vllm.settings import OperatorSettings

MEBIBYTE = 1024 * 1024
Count = Annotated[int, Field(ge=1)]


class Limits(OperatorSettings):
    """Limits on client requests.

    Raises:
        pydantic.ValidationError: a value is out of range.
    """

    max_request_bytes: Count = Field(
        64 * MEBIBYTE, description="Largest request body, in bytes. Larger bodies are refused with 413."
    )
    max_request_values: Count = Field(
        50_000,
        description="Most strings, objects and lists in a JSON body, names of fields included. Bodies with more are "
        "refused with 413.",
    )
    max_request_structure_bytes: Count = Field(
        4 * MEBIBYTE,
        description="Most bytes of a JSON body outside of its strings, such as those of token ids. Bodies with more "
        "are refused with 413.",
    )
    max_image_bytes: Count = Field(20 * MEBIBYTE, description="Largest encoded image, in bytes.")
    max_image_pixels: Count = Field(32_000_000, description="Largest image, in pixels. Checked before decoding.")
    max_video_bytes: Count = Field(64 * MEBIBYTE, description="Largest encoded video, in bytes.")
    max_video_frames: Count = Field(
        18_000, description="Longest video, in frames of the file. Checked before decoding, which reads them all."
    )
    max_video_pixels: Count = Field(
        300_000_000, description="Most pixels in the frames that are sampled from a video. Checked before decoding."
    )
    max_request_sequences: Count = Field(
        128, description="Most sequences that a request may ask for: its number of prompts times 'n'."
    )
    media_networks: str = Field(
        "",
        description="Networks, in CIDR notation and separated by commas, from which images may be fetched in addition "
        "to public addresses. --allowed-media-domains must include their hosts.",
    )
    media_fetch_seconds: Annotated[float, Field(gt=0, le=600)] = Field(
        30, description="Time limit for fetching an image, in seconds, retries included."
    )

    @field_validator("media_networks")
    @classmethod
    def _are_networks(cls, networks: str) -> str:
        AddressRule.parse(networks)
        return networks


@lru_cache
def shared_limits() -> Limits:
    """Return the limits of this process. They are read once."""
    return Limits.load()
