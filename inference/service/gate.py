"""What every request passes: keys, the limits of its body, errors as JSON, metrics and the log."""

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from secrets import token_hex
from typing import Any

from seqrec.inference.service.api_keys import ApiKeys
from seqrec.inference.service.limits import Limits
from seqrec.inference.service.service_errors import ServiceError
from seqrec.inference.service.service_metrics import ServiceMetrics

__all__ = ["Gate"]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Any, Receive, Send], Awaitable[None]]
logger = logging.getLogger("seqrec.service")

OPEN_PATHS = ("/health", "/ready")  # probes have no keys
REQUEST_ID = re.compile(rb"[\w.:-]{1,64}")
DRAINED = 2**26  # bytes of a body that is too large to read, so that its sender sees the answer
OTHER = "other"  # paths that do not exist share one label


class Gate:
    """The outermost layer of the service, an ASGI application around another.

    Args:
        app: The application.
        limits: Limits of bodies.
        keys: Keys that requests need; None if they need none.
        metrics: Counts requests.
        paths: The paths that exist.
    """

    def __init__(
        self, app: App, limits: Limits, keys: ApiKeys | None, metrics: ServiceMetrics, paths: Collection[str]
    ) -> None:
        self.app, self.limits, self.keys, self.metrics, self.paths = app, limits, keys, metrics, frozenset(paths)

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        sender = Sender(send, request_id(headers))
        begun = time.perf_counter()
        scope["facts"] = {}
        try:
            try:
                self.require_key(scope["path"], headers)
                body = await self.read_body(headers, receive)
                await self.app(scope, replay(body, receive), sender)
            except ServiceError as error:
                await error.response()(scope, receive, sender)
        finally:
            self.note(scope, sender, time.perf_counter() - begun)

    def require_key(self, path: str, headers: dict[bytes, bytes]) -> None:
        """Raise a `ServiceError` unless a request has a key."""
        if self.keys is None or path in OPEN_PATHS or self.keys.allow(headers):
            return
        raise ServiceError(
            401,
            "The API key is missing or wrong. Send it as Authorization: Bearer KEY, or as X-API-Key: KEY.",
            {"WWW-Authenticate": "Bearer"},
        )

    async def read_body(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        """Read a request's body; raise a `ServiceError` if it is too long, or takes too long."""
        length = headers.get(b"content-length", b"")
        if length == b"0" or not (length or b"transfer-encoding" in headers):
            return b""
        try:
            async with asyncio.timeout(self.limits.seconds):
                if length.isdigit() and int(length) > self.limits.body_bytes:
                    if b"expect" not in headers:  # such a client waits before it sends
                        await drain(receive)
                    raise self.too_large()
                return await self.join(receive)
        except TimeoutError:
            sentence = f"The body did not arrive within {self.limits.seconds:g} seconds."
            raise ServiceError(408, sentence, {"Connection": "close"}) from None

    async def join(self, receive: Receive) -> bytes:
        """Join the parts of a body."""
        parts, size = [], 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ServiceError(400, "The connection broke off before the end of the body.")
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            has_more = message.get("more_body", False)
            if size > self.limits.body_bytes:
                if has_more:
                    await drain(receive)
                raise self.too_large()
            if not has_more:
                return b"".join(parts)

    def too_large(self) -> ServiceError:
        """Describe a body that is too large."""
        return ServiceError(
            413,
            f"The body has more than {self.limits.body_bytes:,} bytes. Divide it into several requests.",
            {"Connection": "close"},
        )

    def note(self, scope: Any, sender: "Sender", seconds: float) -> None:
        """Count and log a request."""
        path = scope["path"] if scope["path"] in self.paths else OTHER
        status = sender.status or 500
        self.metrics.observe(path, status, seconds)
        if logger.isEnabledFor(logging.INFO):
            facts = {
                "event": "request",
                "method": scope["method"],
                "path": path,
                "status": status,
                "seconds": round(seconds, 6),
                "request_id": sender.request_id.decode(),
                **scope["facts"],
            }
            logger.info("request", extra={"facts": facts})


class Sender:
    """Sends an answer with the request's id, and remembers its status."""

    def __init__(self, send: Send, request_id: bytes) -> None:
        self.send, self.request_id, self.status = send, request_id, 0

    async def __call__(self, message: Message) -> None:
        """Send a part of the answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), (b"x-request-id", self.request_id)]
        await self.send(message)


def request_id(headers: dict[bytes, bytes]) -> bytes:
    """Return the id that a client gave its request, or a new one."""
    given = headers.get(b"x-request-id", b"")
    return given if REQUEST_ID.fullmatch(given) else token_hex(8).encode()


def replay(body: bytes, receive: Receive) -> Receive:
    """Return a function that gives the body that was read, and then what else arrives."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return waiting.pop() if waiting else await receive()

    return receive_again


async def drain(receive: Receive) -> None:
    """Read the rest of a body, up to a limit, and forget it."""
    size = 0
    while size < DRAINED:
        message = await receive()
        size += len(message.get("body", b""))
        if not message.get("more_body", False):
            return
