"""`data:` URLs as clients write them: variants of Base64 that mean one thing only."""

import re
from urllib.parse import unquote

from gprune_server.guard.image_error import ImageError

LOOK = "A data: URL looks like data:image/png;base64,iVBORw0KGgo..."
_FOREIGN = re.compile(r"[^A-Za-z0-9+/]")
_URL_SAFE = str.maketrans("-_", "+/")


def standard_data_url(url: str) -> str:
    """Return a `data:` URL with Base64 as RFC 4648 has it: its own alphabet, padded, without line breaks.

    Line breaks, missing padding, the URL-safe alphabet and percent-encoding are accepted, and `base64` in any case. The
    frames of `video/jpeg` are separated by commas.

    Raises:
        ImageError: it is not Base64, or could mean more than one thing.
    """
    header, comma, data = unquote(url)[len("data:") :].partition(",")
    kind, _, encoding = header.rpartition(";")
    what = "video" if header.strip().lower().startswith("video/") else "image"
    if not comma:
        raise ImageError(f"The {what} cannot be read: its data: URL has no comma in front of the data. {LOOK}")
    if encoding.strip().lower() != "base64":
        raise ImageError(f"The {what} cannot be read: its data: URL lacks ;base64 in front of the comma. {LOOK}")
    parts = data.split(",") if what == "video" else [data]
    return f"data:{kind.strip()};base64,{','.join(standard_base64(part, what) for part in parts)}"


def standard_base64(data: str, what: str = "image") -> str:
    """Return Base64 as RFC 4648 has it.

    Raises:
        ImageError: see `standard_data_url`.
    """
    plain = "".join(map(str.strip, data.splitlines())).rstrip("=").translate(_URL_SAFE)
    foreign = _FOREIGN.search(plain)
    if foreign is not None:
        raise ImageError(f"The {what} cannot be read: {_complaint(foreign)}")
    if len(plain) % 4 == 1:
        raise ImageError(
            f"The {what} cannot be read: its Base64 has {len(plain)} characters, which no file has: some are missing. "
            "Send all of them."
        )
    return plain + "=" * (-len(plain) % 4)


def _complaint(foreign: re.Match[str]) -> str:
    """Return what is wrong with a character that Base64 does not have."""
    place = f"at character {foreign.start() + 1} of its Base64"
    if foreign[0] == " ":
        return f"there is a space {place}. Where form decoding made it of a +, send %2B; else remove it."
    if foreign[0] == "=":
        return f"there is padding {place}, in front of the end. Encode the whole file at once."
    return f"there is {foreign[0]!a} {place}, which Base64 does not have. Encode the file with Base64."


def looks_like_base64(text: str) -> bool:
    """Return whether a text is long enough and has only characters of Base64, of any variant."""
    return len(text) >= 16 and re.fullmatch(r"[A-Za-z0-9+/_=\s-]+", text) is not None
