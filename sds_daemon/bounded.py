"""Answers of servers within bounds: their size unpacked, how they may be packed, and how many values they may hold.

A small packed body must not become a large one in memory, nor a body of brackets millions of objects.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from typing import cast

import httpx

ACCEPTED = "gzip"
"""What to ask for in Accept-Encoding."""

MOST_VALUES = 5_000_000
"""Values of one JSON document; a page of 10,000 pupils with all expansions holds about a million."""

_STEP = 65_536
_PACKED = frozenset({"gzip", "x-gzip", "deflate"})


class BoundedTransport(httpx.AsyncBaseTransport):
    """Unpacks the answers of another transport, piece by piece, and ends one that grows beyond `limit` bytes.

    `longest`: seconds from the request on after which no further piece is waited for (httpx.ReadTimeout). Whoever reads
    the answer gets it unpacked, without Content-Encoding. `too_large` makes the error to raise then. A body that is
    broken, or packed twice or in a way not asked for, raises httpx.DecodingError.
    """

    def __init__(
        self,
        inner: httpx.AsyncBaseTransport,
        *,
        limit: int,
        too_large: Callable[[httpx.Request], Exception],
        longest: float = 300.0,
    ) -> None:
        self._inner = inner
        self._limit = limit
        self._too_large = too_large
        self._longest = longest

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send, and put the bounds around the answer's body."""
        end = _now() + self._longest
        answer = await self._inner.handle_async_request(request)
        encoding = answer.headers.get("Content-Encoding", "").strip().lower()
        headers = [(name, value) for name, value in answer.headers.raw if name.lower() not in _ABOUT_THE_PACKED]
        stream = _InTime(cast(httpx.AsyncByteStream, answer.stream), end, request)
        body = _Bounded(stream, encoding, self._limit, request, self._too_large)
        return httpx.Response(answer.status_code, headers=headers, stream=body, extensions=answer.extensions)

    async def aclose(self) -> None:
        """Close the other transport."""
        await self._inner.aclose()


_ABOUT_THE_PACKED = frozenset({b"content-encoding", b"content-length"})


def _now() -> float:
    return asyncio.get_running_loop().time()


class _InTime(httpx.AsyncByteStream):
    """Looks at the time after each piece: a timer for each request would cost more, and httpx bounds each wait."""

    def __init__(self, stream: httpx.AsyncByteStream, end: float, request: httpx.Request) -> None:
        self._stream = stream
        self._end = end
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._stream:
            yield piece
            if _now() > self._end:
                raise httpx.ReadTimeout("the answer does not end", request=self._request)

    async def aclose(self) -> None:
        await self._stream.aclose()


class _Bounded(httpx.AsyncByteStream):
    def __init__(
        self,
        stream: httpx.AsyncByteStream,
        encoding: str,
        limit: int,
        request: httpx.Request,
        too_large: Callable[[httpx.Request], Exception],
    ) -> None:
        self._stream = stream
        self._encoding = encoding
        self._limit = limit
        self._request = request
        self._too_large = too_large

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for piece in self._unpacked():
            size += len(piece)
            if size > self._limit:
                raise self._too_large(self._request)
            yield piece

    def _unpacked(self) -> AsyncIterable[bytes]:
        if self._encoding in ("", "identity"):
            return self._stream
        if self._encoding not in _PACKED:
            raise self._broken("is packed in a way that was not asked for")
        return self._inflated()

    async def _inflated(self) -> AsyncIterator[bytes]:
        machine = zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
        begun = False
        async for packed in self._stream:
            begun = begun or bool(packed)
            try:
                for piece in _pieces(machine, packed):
                    yield piece
            except zlib.error:
                raise self._broken("cannot be unpacked") from None
        if begun and not machine.eof:
            raise self._broken("ends too early")

    def _broken(self, what: str) -> httpx.DecodingError:
        return httpx.DecodingError(f"the body {what}", request=self._request)

    async def aclose(self) -> None:
        await self._stream.aclose()


def _pieces(machine: zlib._Decompress, packed: bytes) -> Iterator[bytes]:
    """What a piece of the packed body gives, never more than _STEP bytes at a time."""
    while not machine.eof:
        piece = machine.decompress(packed, _STEP)
        packed = machine.unconsumed_tail
        if piece:
            yield piece
        if not packed and len(piece) < _STEP:
            return


def holds_too_much(document: bytes) -> bool:
    """Whether a JSON document can hold more than MOST_VALUES values, judged without parsing it."""
    if len(document) <= MOST_VALUES:
        return False
    return document.count(b",") + document.count(b"[") + document.count(b"{") > MOST_VALUES
