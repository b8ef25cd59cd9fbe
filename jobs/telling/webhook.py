"""Tells a webhook how a run ended; whatever the other side does, the run neither fails nor hangs.

Names are resolved once, the addresses are checked, and the connection goes to one of them, so that
no second answer of the name server leads elsewhere. Redirects are not followed.
"""

import http.client
import ipaddress
import json
import logging
import os
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

from pipelines.notify import Notify, is_loopback, url_problem

_log = logging.getLogger(__name__)

TRIES = 3
"""A receiver that restarts is back at the third; one that is down is not worth a run's time."""

PAUSE_SECONDS = (0.5, 2.0)
"""Before the second and the third try."""

STEP_SECONDS = 5.0
"""Longest wait for one answer of the network: receivers answer within one or two seconds."""

ALL_SECONDS = 20.0
"""Longest time that telling may take in all, name server included: three tries and the pauses."""

MESSAGE_CHARS = 4000
"""Longest text that is sent; chat services cut at about as many."""

AGAIN = {408, 425, 429, 500, 502, 503, 504}
"""Answers that may be another one soon."""

IPV6_IN_USE = ipaddress.ip_network("2000::/3")
"""All of IPv6 that is given out (RFC 4291); beyond it lie old and special kinds of addresses."""

IPV6_PRIVATE = ipaddress.ip_network("fc00::/7")

NAT64 = ipaddress.ip_network("64:ff9b::/96")
"""Where networks with IPv6 alone show the addresses of IPv4 (RFC 6052)."""

IPV4_PROTOCOLS = ipaddress.ip_network("192.0.0.0/24")
"""Of the protocols' own (RFC 6890); Python counts some of them as public."""


def tell(notify: Notify, body: Mapping[str, Any]) -> str | None:
    """POST the body; returns why that did not work, or None. Raises nothing of the network."""
    url = notify.webhook or os.environ.get(str(notify.webhook_env), "").strip()
    # A secret that was read from a file ends with a line end.
    secret = os.environ.get(notify.header_env, "").strip() if notify.header_env else None
    problem = url_problem(url) if url else f"${notify.webhook_env} is not set"
    if secret is not None and not (secret.isascii() and secret.isprintable() and secret):
        problem = f"${notify.header_env} is not set" + (" to plain characters" if secret else "")
    if problem is None:
        problem = _in_time(urlsplit(url), _headers(notify, secret), _encoded(body), notify)
    if problem:
        host = urlsplit(url).hostname if url and not url_problem(url) else "of the pipeline"
        _log.warning("the webhook %s was not told how the run ended: %s", host, problem)
    return problem


def _headers(notify: Notify, secret: str | None) -> dict[str, str]:
    headers = {"Content-Type": "application/json", "User-Agent": "gristmill"}
    return headers | ({notify.header: secret} if secret else {})


def _encoded(body: Mapping[str, Any]) -> bytes:
    short = {k: v[:MESSAGE_CHARS] if isinstance(v, str) else v for k, v in body.items()}
    return json.dumps(short, default=str).encode()


def _in_time(
    url: SplitResult, headers: Mapping[str, str], body: bytes, notify: Notify
) -> str | None:
    """Send in a thread of its own: a name server or a receiver may keep one waiting for ever."""
    said: list[str | None] = [f"no answer within {ALL_SECONDS:g} s"]

    def send() -> None:
        said[0] = _send(url, headers, body, notify.allow_private)

    thread = threading.Thread(target=send, daemon=True, name="webhook")
    thread.start()
    thread.join(ALL_SECONDS)
    return said[0]


def _send(
    url: SplitResult, headers: Mapping[str, str], body: bytes, allow_private: bool
) -> str | None:
    problem: str | None = None
    for pause in (0.0, *PAUSE_SECONDS[: TRIES - 1]):
        time.sleep(pause)
        try:
            status = _post(url, headers, body, allow_private)
        except _Refused as error:
            return str(error)
        except (OSError, http.client.HTTPException, ValueError) as error:
            problem = f"{type(error).__name__}: {error}"
            continue
        if 200 <= status < 300:
            return None
        problem = f"it answered {status}"
        if status not in AGAIN:
            return problem + (", and redirects are not followed" if 300 <= status < 400 else "")
    return f"{problem} ({TRIES} tries)"


class _Refused(Exception):
    """The host leads to an address that no webhook may have."""


def _post(url: SplitResult, headers: Mapping[str, str], body: bytes, allow_private: bool) -> int:
    """One POST; returns the status. The answer's body is not read."""
    host = str(url.hostname)
    port = url.port or (443 if url.scheme == "https" else 80)
    address = _address(host, port, allow_private)
    connection = http.client.HTTPConnection(host, port, timeout=STEP_SECONDS)
    try:
        plain = socket.create_connection((address, port), STEP_SECONDS)
        connection.sock = plain
        if url.scheme == "https":
            context = ssl.create_default_context()
            connection.sock = context.wrap_socket(plain, server_hostname=host)
        path = (url.path or "/") + (f"?{url.query}" if url.query else "")
        connection.request("POST", path, body, dict(headers))
        return connection.getresponse().status
    finally:
        connection.close()


def _address(host: str, port: int, allow_private: bool) -> str:
    """An address of the host; all of them must be allowed. Raises _Refused, OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    for address in addresses:
        if not _may(address, is_loopback(host), allow_private):
            hint = "" if allow_private else "; for a host in your own network:  allow_private: true"
            raise _Refused(f"{host} is {address}, which is no public address{hint}")
    return addresses[0]


def _may(address: str, loopback: bool, allow_private: bool) -> bool:
    """Whether an address may be called; `loopback` if the URL itself names this machine."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = _inside(ip)
        if inner is None and not loopback and ip not in IPV6_IN_USE:
            return allow_private and ip in IPV6_PRIVATE
        ip = inner or ip
    if loopback:
        return ip.is_loopback
    special = ip.is_loopback or ip.is_link_local or ip.is_multicast or ip.is_unspecified
    if special or ip.is_reserved or ip in IPV4_PROTOCOLS:
        return False
    return ip.is_global or (allow_private and ip.is_private)


def _inside(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 address leads to, where it is a way of writing one."""
    if ip in NAT64 or (int(ip) >> 32 == 0 and int(ip) > 1):
        return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
