"""Places in request bodies, for errors: `body.messages.0.content.1.image_url.url`."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

Path = tuple[str | int, ...]

LISTS = ("images", "videos")
IMAGES = (*LISTS, "image_url", "video_url", "url", "data")
"""Names of the fields that hold images or videos, themselves or as items."""
LONGEST_NAME = 80
NODES = 100_000
"""Objects and lists of a body that are looked at for the sake of an error."""


def path_text(path: Sequence[str | int]) -> str:
    """Return a path as vLLM writes it in `param`, with the client's own names cut short."""
    return ".".join(str(part)[:LONGEST_NAME] for part in ("body", *path))


def follow(body: Any, location: Sequence[Any], missing: bool = False) -> tuple[Path, Any]:
    """Follow the location of a pydantic error, and return the path and the value there.

    Pydantic's names of union branches are no part of the path.

    Args:
        location: of the error within the body.
        missing: whether its last part is the name of a field that is not there.
    """
    path: list[str | int] = []
    for part in location[:-1] if missing else location:
        if _has(body, part):
            body = body[part]
            path.append(part)
    return (*path, *location[-1:]) if missing else tuple(path), body


def _has(container: Any, part: Any) -> bool:
    if isinstance(container, dict):
        return part in container
    return isinstance(container, list) and isinstance(part, int) and -1 < part < len(container)


def containers(body: Any) -> Iterator[tuple[Path, Any]]:
    """Yield the objects and lists of a body in the order of its text, each with its path."""
    pending: list[tuple[Path, Any]] = [((), body)] if isinstance(body, (dict, list)) else []
    while pending:
        path, value = pending.pop()
        yield path, value
        items = value.items() if isinstance(value, dict) else enumerate(value)
        inner = [((*path, name), each) for name, each in items if isinstance(each, (dict, list))]
        pending.extend(reversed(inner))


def images(body: Any) -> Iterator[tuple[Path, str]]:
    """Yield the URLs and Base64 data of a body's images and videos, each with its path."""
    for path, value in islice(containers(body), NODES):
        named = value.items() if isinstance(value, dict) else enumerate(value) if path and path[-1] in LISTS else ()
        for name, each in named:
            if isinstance(each, str) and (name in IMAGES or isinstance(name, int)):
                yield (*path, name), each


def place_of_image(body: Any, url: str) -> tuple[str, Path] | None:
    """Return which image of a body has a URL, in words and as a path, or None if none has."""
    found = list(images(body))
    place = next((path for path, each in found if each == url or (each and url.endswith(f";base64,{each}"))), None)
    if place is None:
        return None
    batch = len(place) > 2 and place[0] == "messages" and isinstance(place[2], int)
    kind = _kind(place)
    own = [path for path, _ in found if _kind(path) == kind and (not batch or path[:2] == place[:2])]
    number = f"{kind} {own.index(place) + 1}"
    return (f"{number} of conversation {int(place[1]) + 1}" if batch else number), place


def _kind(path: Path) -> str:
    return "Video" if "video_url" in path or "videos" in path else "Image"
