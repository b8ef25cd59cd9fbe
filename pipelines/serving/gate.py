"""What stands before the routes: the token, the limits, and a quiet end.

It speaks ASGI, so that a request is refused before its body is read, and while it is.
"""

import asyncio

from fastapi import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pipelines.serving.bounds import HELD_BODIES, Bounds
from pipelines.serving.token import bears

OPEN = ("/health", "/ready")
"""Routes that need no token and have no limit: probes ask them, and they tell nothing."""

AGAIN_SECONDS = 1
"""When to come again, as said to who finds the service full: a unit's work, about."""


class Gate:
    """Lets requests in to the app, and counts them; `token` is a digest_of, or None for none."""

    def __init__(self, app: ASGIApp, token: bytes | None, bounds: Bounds) -> None:
        self._app = app
        self._token = token
        self.bounds = bounds
        self.closing = False
        self.active = 0
        self.held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or refuse it."""
        path = scope.get("path", "").removeprefix(scope.get("root_path", ""))
        is_probe = path == "/health" or (path in OPEN and not self.closing)
        if scope["type"] != "http" or is_probe:
            await self._app(scope, receive, send)
        elif refusal := self._refusal(scope):
            await refusal(scope, receive, send)
        else:
            await self._admit(scope, receive, send)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        """Why a request is not even begun, if it is not."""
        headers = {name.lower(): value for name, value in scope["headers"]}
        if self.closing:
            return problem(503, "the service is ending", {"Connection": "close"})
        if self._token is not None and not bears(headers.get(b"authorization", b""), self._token):
            said = "the request needs the service's token:  Authorization: Bearer TOKEN"
            return problem(401, said, {"WWW-Authenticate": "Bearer"})
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > self.bounds.max_bytes:
            return problem(413, too_large(self.bounds), {"Connection": "close"})
        if self.active >= self.bounds.max_waiting or self._is_full:
            said = f"{self.active} requests are under way, and there is no room for more"
            return problem(503, said, {"Retry-After": str(AGAIN_SECONDS)})
        return None

    @property
    def _is_full(self) -> bool:
        return self.held >= HELD_BODIES * self.bounds.max_bytes

    async def _admit(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request in, for a limited time."""
        meter = _Meter(self, receive, send)
        self.active += 1
        try:
            async with asyncio.timeout(self.bounds.timeout):
                await self._app(scope, meter.receive, meter.send)
        except TimeoutError:
            if not meter.answering:
                await meter.late()(scope, receive, send)
        finally:
            self.active -= 1
            self.held -= meter.bytes


class _Meter:
    """Counts a request's bytes as they come."""

    def __init__(self, gate: Gate, receive: Receive, send: Send) -> None:
        self._gate = gate
        self._receive = receive
        self._send = send
        self.bytes = 0
        self.whole = False
        self.answering = False

    async def receive(self) -> Message:
        """The next piece of the request. Raises HTTPException (413)."""
        message = await self._receive()
        if message["type"] == "http.request":
            size = len(message.get("body", b""))
            self.bytes += size
            self._gate.held += size
            self.whole = not message.get("more_body", False)
            if self.bytes > self._gate.bounds.max_bytes:
                raise HTTPException(413, too_large(self._gate.bounds), {"Connection": "close"})
        return message

    async def send(self, message: Message) -> None:
        """The next piece of the answer."""
        self.answering = True
        await self._send(message)

    def late(self) -> JSONResponse:
        """What is said when the time is over: whose time it was."""
        seconds = f"{self._gate.bounds.timeout:g} s"
        if not self.whole:
            said = f"the request was not here within {seconds}"
            return problem(408, said, {"Connection": "close"})
        return problem(504, f"the rows were not answered within {seconds}; send fewer at once")


def problem(status: int, said: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """A refusal, as all of them look."""
    return JSONResponse({"error": said}, status, headers)


def too_large(bounds: Bounds) -> str:
    """That a request is too large."""
    size = f"{bounds.max_bytes:,} bytes"
    return f"the request is larger than {size}; send fewer rows at once"
