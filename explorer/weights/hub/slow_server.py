"""An end to a server that sends, but hardly anything.

A time-out of silence begins anew with every byte, so a server that dribbles, or says "100 Continue"
for ever, would be listened to for years. A watch runs beside the reading: where too little came in
its time, it cuts the connection, and what waits for that fails at once.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Any

_CONNECTED = (".connect_tcp.complete", ".connect_unix_socket.complete", ".start_tls.complete")


class Watch:
    """Knows the connection of one request and cuts it; :meth:`trace` is told what it does."""

    def __init__(self) -> None:
        """There is no connection yet."""
        self._stream: Any = None
        self._received = 0
        self.has_cut = False
        """Whether the connection was cut."""

    def trace(self, event: str, info: dict[str, Any]) -> None:
        """Take note of a connection: the HTTP library's ``trace`` extension."""
        if event.endswith(_CONNECTED):
            self._stream = info["return_value"]

    def count(self, received: int) -> None:
        """Take note of bytes that came."""
        self._received += received

    @contextlib.contextmanager
    def limit(self, seconds: float, enough: int | None = None) -> Iterator[None]:
        """Cut the connection where what is done inside takes longer than ``seconds``.

        With ``enough`` that time begins anew whenever so many bytes have been counted in it.
        """
        over = threading.Event()

        def watch() -> None:
            seen = self._received
            while not over.wait(seconds):
                if enough is None or self._received - seen < enough:
                    self._cut()
                    return
                seen = self._received

        watcher = threading.Thread(target=watch, name="slow-server", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()

    def _cut(self) -> None:
        self.has_cut = True
        found = self._stream.get_extra_info("socket") if self._stream is not None else None
        if isinstance(found, socket.socket):
            with contextlib.suppress(OSError):
                # Not that of TLS, which would say good-bye first, and wait.
                socket.socket.shutdown(found, socket.SHUT_RDWR)
