"""Limit on what a JSON body consists of, checked before anything parses it."""

from codecs import getincrementaldecoder

from fastapi import HTTPException
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

QUOTE = b'"'


class Structure:
    """Strings, objects and lists of a JSON text that arrives in chunks.

    Counting is a hundred times faster than parsing, which would block the event loop.

    Attributes:
        values: number of strings, objects and lists, keys of objects included.
        other_bytes: bytes outside of strings: numbers, punctuation and space.
    """

    def __init__(self) -> None:
        self.values = self.other_bytes = 0
        self._decoder = getincrementaldecoder("utf-8")()
        self._inside = False  # a string
        self._escape = b""  # the start of an escape sequence that the next chunk ends

    def add(self, chunk: bytes) -> None:
        """Count the next chunk.

        Raises:
            ValueError: the text is not UTF-8. Null bytes are those of UTF-16 and UTF-32: JSON cannot contain any.
        """
        self._decoder.decode(chunk)
        if b"\0" in chunk:
            raise ValueError("null byte")
        text = (self._escape + chunk).replace(rb"\\", b"")
        self._escape = b"\\" if text.endswith(b"\\") else b""
        pieces = text.removesuffix(b"\\").replace(rb"\"", b"").split(QUOTE)
        outside = b"".join(pieces[self._inside :: 2])
        quotes = len(pieces) - 1
        self.values += (quotes + (not self._inside)) // 2 + outside.count(b"{") + outside.count(b"[")
        self.other_bytes += len(outside)
        self._inside ^= bool(quotes % 2)


class StructureLimit:
    """Pure ASGI middleware that refuses JSON bodies that would take long to parse and validate.

    Args:
        app: next application.
        most_values: largest number of strings, objects and lists.
        most_bytes: largest number of bytes outside of strings.
    """

    def __init__(self, app: ASGIApp, most_values: int, most_bytes: int) -> None:
        self._app = app
        self._most_values = most_values
        self._most_bytes = most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or Headers(scope=scope).get("content-type", "").startswith("multipart/"):
            await self._app(scope, receive, send)
            return
        structure = Structure()

        async def checked() -> Message:
            message = await receive()
            try:
                self._check(structure, message.get("body", b""))
            except HTTPException:
                while message.get("more_body"):  # a client that still sends would not read the response
                    message = await receive()
                raise
            return message

        await self._app(scope, checked, send)

    def _check(self, structure: Structure, chunk: bytes) -> None:
        """Check a body as far as it has arrived.

        Raises:
            HTTPException: it is not UTF-8, or beyond a limit. Whatever reads the body raises it on, so that vLLM's
                handler formats the response.
        """
        try:
            structure.add(chunk)
        except ValueError as error:
            raise HTTPException(
                400, "The request body is not valid UTF-8. Send JSON in UTF-8, without surrogates."
            ) from error
        if structure.values > self._most_values:
            raise HTTPException(
                413,
                f"The request body has more than {self._most_values} strings, objects and lists "
                "(--max-request-values). Send fewer messages or a shorter list.",
            )
        if structure.other_bytes > self._most_bytes:
            raise HTTPException(
                413,
                f"The request body has more than {self._most_bytes} bytes of numbers, punctuation and space "
                "(--max-request-structure-bytes). Send fewer numbers.",
            )
