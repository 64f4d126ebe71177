"""A gate that requests pass, closed while the server is to be left alone."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Gate:
    """Lets requests through, or holds them back."""

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._open = True
        self._under_way = 0

    @asynccontextmanager
    async def passage(self) -> AsyncIterator[None]:
        """Wait until the gate is open; leave when the request has ended."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._open)
            self._under_way += 1
        try:
            yield
        finally:
            async with self._changed:
                self._under_way -= 1
                self._changed.notify_all()

    @asynccontextmanager
    async def closed(self) -> AsyncIterator[None]:
        """Close the gate, and wait until what passed it has ended; open it in the end."""
        async with self._changed:
            self._open = False
            await self._changed.wait_for(lambda: self._under_way == 0)
        try:
            yield
        finally:
            async with self._changed:
                self._open = True
                self._changed.notify_all()
