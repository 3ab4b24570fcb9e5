"""Who may ask: a guard in front of every route, and the headers of every answer.

A page of another site can send requests to a server on the loopback address, by its name after DNS
rebinding too. So the address has a token, which is no cookie that a browser would add by itself; `Host`
must be a name of this server; `Origin` and `Sec-Fetch-Site` must say that the studio's own page asks.
"""

import hmac
import ipaddress
import urllib.parse
from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("localhost", "127.0.0.1", "::1")
# What needs no token: the page's own code, which is no secret.
OPEN = "/static/"
MAX_JSON_BYTES = 64 * 1024
HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def refused(status: int, message: str) -> Response:
    """The answer to what is not done: one line that says why."""
    return JSONResponse({"error": message}, status)


class Guard:
    """Lets through what the studio's own page asks, or a program with its token."""

    def __init__(
        self, app: ASGIApp, *, token: str, hosts: Collection[str] = (), any_address: bool = False
    ):
        """Wraps an application.

        Args:
          app: The application.
          token: Of the address.
          hosts: Names of this machine beside the loopback's.
          any_address: Whether a number that is an address will do: rebinding takes a name.
        """
        self._app = app
        self._token = token.encode()
        self._hosts = {*LOOPBACK, *hosts}
        self._any_address = any_address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI says."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", "no-store")
            await send(message)

        answer: ASGIApp = self._refusal(scope) or self._app
        await answer(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        headers, path = Headers(scope=scope), scope["path"]
        host = headers.get("host", "")
        if not self._is_own(host):
            return refused(421, f"Host is not a name of this server. Received: {host!r}")
        origin = headers.get("origin")
        if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
            return refused(403, f"Origin is not the studio's page. Received: {origin!r}")
        is_visit = path == "/" and scope["method"] in ("GET", "HEAD")
        if not is_visit and headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return refused(403, "Another site's page may not ask the studio.")
        if not path.startswith(OPEN) and not self._has_token(scope, headers):
            text = "The address lacks its token: open the one that stylize-web printed."
            return PlainTextResponse(text, 401) if is_visit else refused(401, text)
        return None

    def _is_own(self, host: str) -> bool:
        try:
            parts = urllib.parse.urlsplit(f"//{host}")
            name, _ = parts.hostname or "", parts.port
        except ValueError:
            return False
        if parts.netloc != host or parts.username is not None or parts.path or parts.query:
            return False
        return name in self._hosts or (self._any_address and _is_address(name))

    def _has_token(self, scope: Scope, headers: Headers) -> bool:
        scheme, _, value = headers.get("authorization", "").partition(" ")
        given = [QueryParams(scope["query_string"]).get("token", "")]
        given += [value] if scheme.lower() == "bearer" else []
        return any(hmac.compare_digest(each.encode(), self._token) for each in given)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
