"""Which requests are in a share of all requests."""

from hashlib import blake2b
from typing import Literal

BYTES = 8


def is_chosen(request_id: str, fraction: float, purpose: Literal["shadow", "canary"]) -> bool:
    """Return whether a request is in a share, by the hash of its id. Shares of different purposes are independent."""
    digest = blake2b(request_id.encode(errors="replace"), digest_size=BYTES, person=purpose.encode()).digest()
    return int.from_bytes(digest) < fraction * 2.0 ** (8 * BYTES)
