"""A proxy in front of a real server that spoils some of its answers."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

Spoil = Callable[[bytes], bytes | None]
"""What becomes of bytes on their way from the server; None breaks the connection."""


@asynccontextmanager
async def proxy(url: str, spoil: Spoil) -> AsyncIterator[str]:
    """Put a proxy in front of a server; give the URL to use instead of the server's."""
    parts = urlsplit(url)
    under_way: set[asyncio.Task[None]] = set()

    async def forward(client: asyncio.StreamReader, answer: asyncio.StreamWriter) -> None:
        under_way.add(task := asyncio.current_task())  # type: ignore[arg-type]
        server, ask = await asyncio.open_connection(parts.hostname, parts.port)
        copies = [asyncio.create_task(copy(client, ask)), asyncio.create_task(copy(server, answer, spoil))]
        await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
        for each in copies:
            each.cancel()
        await asyncio.gather(*copies, close(ask), close(answer), return_exceptions=True)
        under_way.discard(task)

    async with await asyncio.start_server(forward, "127.0.0.1", 0) as listener:
        yield f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        await asyncio.gather(*under_way)


async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter, spoil: Spoil = lambda data: data) -> None:
    """Pass bytes on until one side ends, or until they are spoilt beyond passing."""
    with suppress(OSError):
        while (data := await source.read(1 << 20)) and (changed := spoil(data)) is not None:
            target.write(changed)
            await target.drain()


async def close(writer: asyncio.StreamWriter) -> None:
    """Close a connection, whether or not the other side did."""
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
