"""HTTP servers in the running event loop: bound at once, quiet, stopped within a second."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvicorn

from sds_daemon.sandbox.asgi import ASGIApp

_HOST = "127.0.0.1"
_BACKLOG = 2048
_QUIET = logging.CRITICAL + 1


class _Quiet(uvicorn.Server):
    """Leaves signals to the process that runs it: several servers share one loop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Servers:
    """All servers of one sandbox. Sockets are bound when added, so their URLs are known before anything runs."""

    def __init__(self, certificate: Path, port_base: int | None = None) -> None:
        """`certificate` is one PEM with key and chain; `port_base` the first port, None for any free ones."""
        self._certificate = certificate
        self._next_port = port_base
        self._servers: list[tuple[_Quiet, socket.socket]] = []
        self._tasks: list[asyncio.Task[Any]] = []
        self._stop = asyncio.Event()
        self._down: dict[int, int] = {}

    def add(self, app: ASGIApp, *, tls: bool, http2: bool = False) -> str:
        """Binds a port for `app` and returns its URL."""
        bound = self._bind()
        if http2:
            self._tasks.append(asyncio.ensure_future(self._serve_http2(app, bound)))
        else:
            self._servers.append((_Quiet(self._config(app, tls)), bound))
        return f"{'https' if tls else 'http'}://{_HOST}:{bound.getsockname()[1]}"

    async def start(self) -> None:
        """Returns when every server accepts requests."""
        self._tasks += [asyncio.ensure_future(server.serve(sockets=[bound])) for server, bound in self._servers]
        await self._all_started()

    async def _all_started(self) -> None:
        while not all(server.started for server, _ in self._servers):
            for task in self._tasks:
                if task.done():
                    task.result()
            await asyncio.sleep(0.005)

    async def take_down(self, spared: str) -> None:
        """What a crash of every server but the one at the URL `spared` looks like: connections are reset, and new ones
        refused until `put_up`. What is down already stays so. ValueError with HTTP/2."""
        if len(self._tasks) != len(self._servers):
            raise ValueError("servers of HTTP/2 cannot be taken down")
        kept = int(spared.rpartition(":")[2])
        for place, (server, bound) in enumerate(self._servers):
            if place in self._down or bound.getsockname()[1] == kept:
                continue
            self._down[place] = bound.getsockname()[1]
            server.should_exit = True
            for listening in server.servers:
                listening.close()
            for connection in list(server.server_state.connections):
                if connection.transport is not None:
                    connection.transport.abort()
            bound.close()
        await asyncio.wait([self._tasks[place] for place in self._down], timeout=3)

    async def put_up(self) -> None:
        """Serve again what was taken down, at the same ports, with what it knew."""
        for place, port in self._down.items():
            server, bound = _Quiet(self._servers[place][0].config), self._listen(port)
            self._servers[place] = (server, bound)
            self._tasks[place] = asyncio.ensure_future(server.serve(sockets=[bound]))
        self._down.clear()
        await self._all_started()

    async def stop(self) -> None:
        """Ends every server; open connections are given a moment, then closed."""
        self._stop.set()
        for server, _ in self._servers:
            server.should_exit = True
        done, late = await asyncio.wait(self._tasks, timeout=1.5) if self._tasks else (set(), set())
        for task in late:
            task.cancel()
        await asyncio.gather(*done, *late, return_exceptions=True)
        for _, bound in self._servers:
            bound.close()

    def _bind(self) -> socket.socket:
        bound = self._listen(self._next_port or 0)
        if self._next_port is not None:
            self._next_port += 1
        return bound

    def _listen(self, port: int) -> socket.socket:
        # Named as TCP, since asyncio switches Nagle's algorithm off only then; it costs 40 ms an answer.
        bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((_HOST, port))
        bound.listen(_BACKLOG)
        bound.setblocking(False)
        return bound

    def _config(self, app: ASGIApp, tls: bool) -> uvicorn.Config:
        config = uvicorn.Config(
            app, lifespan="off", http="httptools", ws="none", log_config=None, log_level=_QUIET, access_log=False,
            server_header=False, proxy_headers=False, timeout_keep_alive=75, timeout_graceful_shutdown=1,
            backlog=_BACKLOG,
        )  # fmt: skip
        config.load()
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self._certificate)
            config.ssl = context
        return config

    async def _serve_http2(self, app: ASGIApp, bound: socket.socket) -> None:
        from hypercorn.asyncio import serve
        from hypercorn.config import Config

        config = Config()
        config.bind = [f"fd://{bound.detach()}"]
        config.certfile = config.keyfile = str(self._certificate)
        config.alpn_protocols = ["h2", "http/1.1"]
        config.accesslog = config.errorlog = None
        config.graceful_timeout = 0.5

        async def stopped() -> None:
            await self._stop.wait()

        await serve(app, config, shutdown_trigger=stopped)  # type: ignore[arg-type]
