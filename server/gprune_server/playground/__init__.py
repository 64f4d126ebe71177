"""Playground: a page that shows the effect of pruning on an image and on an answer. It uses only the public API."""

from functools import cache
from importlib.resources import files
from mimetypes import guess_type

from fastapi import APIRouter
from fastapi.responses import Response

PAGE = "index.html"
PARTS = (
    "page.css",
    "page.js",
    "api.js",
    "overlay.js",
    "samples/sign.png",
    "samples/shapes.png",
    "samples/panorama.png",
)
PATHS = frozenset(("/playground", *(f"/playground/{part}" for part in PARTS)))
"""Paths that need no key: the page asks for it."""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}

router = APIRouter(include_in_schema=False)


@router.get("/playground")
def show_page() -> Response:
    return _file(PAGE)


@router.get("/playground/{part:path}")
def show_part(part: str) -> Response:
    """Serve a script, a style sheet or a sample image."""
    return _file(part) if part in PARTS else Response(status_code=404)


@cache
def _file(name: str) -> Response:
    content = files(__package__).joinpath(name).read_bytes()
    return Response(content, media_type=guess_type(name)[0], headers=HEADERS)
