"""Which requests are chosen."""

from zlib import crc32


def is_chosen(request_id: str, fraction: float) -> bool:
    """Return whether a request is in a share of all requests, by the hash of its id."""
    return crc32(request_id.encode(errors="replace")) < fraction * 2**32
