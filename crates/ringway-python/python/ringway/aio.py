"""Rings, boards and services in asyncio: what waits, is awaited, and no thread waits for it.

>>> import asyncio, ringway, ringway.aio
>>> async def main():
...     ring = ringway.create("memfd:")
...     with ringway.aio.Sender(ring) as sender, ringway.aio.Receiver(ring) as receiver:
...         await sender.send(b"hello")
...         return await receiver.recv()
>>> asyncio.run(main())
b'hello'

A call that is cancelled has lost no message and sent none. `asyncio.timeout` says how long one waits. One task at a time uses a handle. While
both sides are awake nothing of this costs a system call for each message; a task that sleeps is woken by a descriptor.

Of rings, boards and services; a queue of the kernel (`mq:`) has no such handles.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from . import _ringway
from ._errors import Closed, Empty, Full, StillHeld

if TYPE_CHECKING:
    from typing_extensions import Buffer

_T = TypeVar("_T")


class _Handle:
    """A handle whose calls are awaited."""

    _handle: (
        _ringway.Sender | _ringway.Receiver | _ringway.Reader | _ringway.Watcher | _ringway.Server | _ringway.Client
    )
    _busy = False

    async def _until(self, attempt: Callable[[], _T], without: type[Exception], arm: Callable[[], bool]) -> _T:
        """Tries, and tries again whenever it may be worth it, as long as it fails for want of a message or of room."""
        if self._busy:
            problem, remedy = "another task is in a call of this handle", "give each task a handle of its own"
            raise StillHeld(f"{problem}: {remedy}", remedy=remedy)
        self._busy = True
        try:
            while True:
                try:
                    return attempt()
                except without:
                    pass
                if arm():
                    await self._readable()
        finally:
            self._busy = False

    async def _readable(self) -> None:
        loop = asyncio.get_running_loop()
        descriptor = self._handle.fileno()
        readable: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            # It stays readable until somebody looks; one call is enough.
            if not readable.done():
                readable.set_result(None)

        loop.add_reader(descriptor, wake)
        try:
            await readable
        finally:
            loop.remove_reader(descriptor)
            if not self._handle.closed:
                self._handle.disarm()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._handle.__exit__(exception_type, exception, traceback)


class _NothingNewer(Exception):
    """There is no newer value now."""


def _or_raise(value: _T | None) -> _T:
    if value is None:
        raise _NothingNewer
    return value


class Sender(_Handle):
    """A sender whose calls are awaited. `sender` is the other one, with all that does not wait.

    It is made of a ring, with what `Ring.sender` takes, or of a sender. In a `with` block it does as that one does.
    """

    sender: _ringway.Sender

    def __init__(self, ring: _ringway.Ring | _ringway.Sender, *, copy_limit: int | None = None) -> None:
        self.sender = ring.sender(copy_limit=copy_limit) if isinstance(ring, _ringway.Ring) else ring
        self._handle = self.sender

    async def send(self, message: Buffer) -> None:
        """Sends a copy of `message`, when there is room."""
        size = memoryview(message).nbytes
        await self._until(lambda: self.sender.try_send(message), Full, lambda: self.sender.arm(size))

    async def send_parts(self, parts: Iterable[Buffer]) -> None:
        """Sends the concatenation of `parts` as one message, when there is room."""
        await self.send(b"".join(memoryview(part).cast("B") for part in parts))

    async def claim(self, size: int, *, in_place: bool = False) -> _ringway.Claim:
        """Claims room for a message, when there is room; use it as `Sender.claim`: `with await sender.claim(n) as view`."""
        claim = lambda: self.sender.claim(size, 0, in_place=in_place)  # noqa: E731
        return await self._until(claim, TimeoutError, lambda: self.sender.arm(size))

    def close(self) -> None:
        """As `Sender.close`."""
        self.sender.close()


class Receiver(_Handle):
    """A receiver whose calls are awaited, and over whose messages `async for` goes. `receiver` is the other one, with all that does not wait.

    It is made of a ring or of a receiver. In a `with` block it does as that one does.

    >>> import asyncio, ringway, ringway.aio
    >>> async def main():
    ...     ring = ringway.create("memfd:")
    ...     ring.sender().send_many([b"one", b"two"])
    ...     return [message async for message in ringway.aio.Receiver(ring)]
    >>> asyncio.run(main())
    [b'one', b'two']
    """

    receiver: _ringway.Receiver

    def __init__(self, ring: _ringway.Ring | _ringway.Receiver) -> None:
        self.receiver = ring.receiver() if isinstance(ring, _ringway.Ring) else ring
        self._handle = self.receiver

    async def recv(self) -> bytes:
        """Receives the next message."""
        return await self._until(self.receiver.try_recv, Empty, self.receiver.arm)

    async def recv_into(self, buffer: Buffer) -> int:
        """As `Receiver.recv_into`."""
        return await self._until(lambda: self.receiver.try_recv_into(buffer), Empty, self.receiver.arm)

    async def recv_view(self) -> _ringway.Message:
        """As `Receiver.recv_view`: `with await receiver.recv_view() as view`."""
        return await self._until(self.receiver.try_recv_view, Empty, self.receiver.arm)

    async def recv_many(self, most: int) -> list[bytes]:
        """As `Receiver.recv_many`."""
        return await self._until(lambda: self.receiver.recv_many(most, 0), TimeoutError, self.receiver.arm)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await self.recv()
        except Closed:
            raise StopAsyncIteration from None

    def leave(self) -> None:
        """As `Receiver.leave`."""
        self.receiver.leave()


class Reader(_Handle):
    """A reader of an entry of a board, whose values are awaited. `reader` is the other one, with all that does not wait.

    >>> import asyncio, ringway, ringway.aio
    >>> async def main():
    ...     board = ringway.create_board("memfd:")
    ...     with ringway.aio.Reader(board.reader("speed")) as gauge:
    ...         waiting = asyncio.create_task(gauge.newer())
    ...         await asyncio.sleep(0)
    ...         board.writer("speed").set(b"50")
    ...         return await waiting
    >>> asyncio.run(main())
    b'50'
    """

    reader: _ringway.Reader

    def __init__(self, reader: _ringway.Reader) -> None:
        self.reader = self._handle = reader

    async def newer(self) -> bytes:
        """As `Reader.newer`."""
        return await self._until(lambda: _or_raise(self.reader.try_newer()), _NothingNewer, self.reader.arm)


class Watcher(_Handle):
    """A watcher of a board, whose values are awaited, and over which `async for` goes. `watcher` is the other one, with all that does not wait."""

    watcher: _ringway.Watcher

    def __init__(self, watcher: _ringway.Watcher) -> None:
        self.watcher = self._handle = watcher

    async def newer(self) -> tuple[str, bytes]:
        """As `Watcher.newer`."""
        return await self._until(lambda: _or_raise(self.watcher.try_newer()), _NothingNewer, self.watcher.arm)

    def __aiter__(self) -> AsyncIterator[tuple[str, bytes]]:
        return self

    async def __anext__(self) -> tuple[str, bytes]:
        return await self.newer()


class Request:
    """A request of one caller. `request` is the other one, with all that does not wait: `body`, `answer`, `end`, `fail` and so on, which are here, too.

    In a `with` block it does as that one does.
    """

    request: _ringway.Request

    def __init__(self, server: Server, request: _ringway.Request) -> None:
        self._server, self.request = server, request

    @property
    def body(self) -> bytes:
        """What the caller sent."""
        return self.request.body

    async def send(self, part: Buffer) -> None:
        """Sends one part of the answer, when the caller has taken what was sent before. One that is cancelled meanwhile has sent nothing.

        Of a part that is longer than the service's `part_len` the rest goes with the calls that follow, or with `flush`.
        """
        await self._server._until(lambda: _or_not_yet(self.request.try_send(part)), _NotYet, self.request.arm)

    async def flush(self) -> None:
        """Goes on with the part that was sent last, until all of it is on its way."""
        await self._server._until(lambda: _or_not_yet(self.request.try_flush()), _NotYet, self.request.arm)

    def answer(self, answer: Buffer) -> None:
        """As `Request.answer`."""
        self.request.answer(answer)

    def end(self) -> None:
        """As `Request.end`."""
        self.request.end()

    def fail(self, message: str | Buffer, status: int = 1) -> None:
        """As `Request.fail`."""
        self.request.fail(message, status)

    def let_go(self) -> None:
        """As `Request.let_go`."""
        self.request.let_go()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.request.let_go()


class _NotYet(Exception):
    """The caller has not taken what was sent before."""


def _or_not_yet(done: bool) -> None:
    if not done:
        raise _NotYet


class Server(_Handle):
    """A server whose requests are awaited, and over which `async for` goes. `server` is the other one, with all that does not wait.

    While a task works for a request, others serve by servers of their own (`Server.another`).

    >>> import asyncio, os, ringway, ringway.aio
    >>> async def serve(server):
    ...     async for request in ringway.aio.Server(server):
    ...         await asyncio.sleep(0)
    ...         request.answer(request.body.upper())
    >>> async def main():
    ...     server = ringway.serve(f"shm:ringway-doc-aio-{os.getpid()}")
    ...     serving = [asyncio.create_task(serve(server.another())) for _ in range(3)]
    ...     with ringway.aio.Client(ringway.connect(server.address)) as client:
    ...         answer = await client.call(b"hello")
    ...     for task in serving:
    ...         task.cancel()
    ...     ringway.remove(server.address, force=True)
    ...     return answer
    >>> asyncio.run(main())
    b'HELLO'
    """

    server: _ringway.Server

    def __init__(self, server: _ringway.Server) -> None:
        self.server = self._handle = server

    async def next(self) -> Request:
        """As `Server.next`."""
        found = await self._until(lambda: _or_raise(self.server.try_next()), _NothingNewer, self.server.arm)
        return Request(self, found)

    def __aiter__(self) -> AsyncIterator[Request]:
        return self

    async def __anext__(self) -> Request:
        return await self.next()

    async def finish(self) -> None:
        """Waits until callers have taken what is on its way to them, have left, or died. New requests are left to other servers."""
        await self._until(lambda: _or_not_yet(self.server.try_finish()), _NotYet, lambda: self.server.arm(finishing=True))


class Client(_Handle):
    """A client whose answers are awaited. `client` is the other one, with all that does not wait. `Server` has an example."""

    client: _ringway.Client

    def __init__(self, client: _ringway.Client) -> None:
        self.client = self._handle = client

    async def call(self, request: Buffer, timeout: float | None = None) -> bytes:
        """As `Client.call`. If it is cancelled, so is the call, and the server is told."""
        with self.client.stream(request, timeout) as answers:
            return await self._until(answers.try_whole, Empty, answers.arm)

    async def stream(self, request: Buffer, timeout: float | None = None) -> AsyncIterator[bytes]:
        """As `Client.stream`: `async for part in client.stream(b"count")`."""
        with self.client.stream(request, timeout) as answers:
            while (part := await self._until(answers.try_next, Empty, answers.arm)) is not None:
                yield part


__all__ = ["Client", "Reader", "Receiver", "Request", "Sender", "Server", "Watcher"]
