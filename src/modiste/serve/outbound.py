"""Where requests to other servers may go: addresses are checked, then connected to, by number.

By default any public host over https. Whatever lies on this machine or in a private network, and
plain http, only where the administrator listed the host (`upstream_hosts`). A name is looked up
once per request and every address it has must be permitted; the connection goes to an address that
was checked, so that a name which changes its mind in between gains nothing. Proxies of the
environment are not used, redirects not followed.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import urlsplit

import httpx

from modiste.errors import Forbidden, InvalidInput

PUBLIC = "public"
"""Of `upstream_hosts`: every host with public addresses, over https."""
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port to addresses."""


def checked_url(url: str) -> str:
    """The base of an endpoint, without a slash at its end.

    Raises:
        InvalidInput: not http or https, no host, or with a key, a query or a fragment in it.
    """
    parts = urlsplit(url.strip())
    try:
        right = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        right = False
    if not right:
        raise _wrong("is no address such as https://api.openai.com/v1")
    if parts.username or parts.password or "@" in parts.netloc:
        raise _wrong("holds a user or a password: leave them out, keys come from --key-env")
    if parts.query or parts.fragment or set(url) & {"?", "#"}:
        raise _wrong("holds a query or a fragment: leave out everything from ? or # on")
    path = parts.path.rstrip("/").removesuffix("/chat/completions")
    return f"{parts.scheme}://{parts.netloc}{path}"


def host(url: str) -> str:
    """With its port, where it says one."""
    return urlsplit(url).netloc


def _wrong(what: str) -> InvalidInput:
    return InvalidInput(f"the upstream's URL {what}.", param="url")  # Not said back: see above.


def refuse_unlisted(url: str, hosts: Sequence[str]) -> None:
    """What can be told of a URL without looking its host up.

    Raises:
        Forbidden: it is plain http or an address outside of `hosts`.
    """
    parsed = httpx.URL(url)
    if _listed(parsed, hosts):
        return
    address = _address(parsed.host)
    if address is not None:
        _permit(parsed, address, hosts)
    elif parsed.scheme != "https" and not _networks(hosts):
        raise _forbidden(parsed, "is asked without encryption")
    elif PUBLIC not in hosts and not _networks(hosts):
        raise _forbidden(parsed, "is not listed")


class CheckedTransport(httpx.AsyncBaseTransport):
    """Sends requests for one host, to an address of it that may be asked.

    One instance for each host: connections are pooled by address, and two names behind one address
    must not share one.
    """

    def __init__(
        self,
        hosts: Sequence[str],
        *,
        resolve: Resolve | None = None,
        inner: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._hosts = hosts
        self._resolve = resolve or _look_up
        self._inner = inner or httpx.AsyncHTTPTransport(retries=0)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """
        Raises:
            Forbidden: an address of the host may not be asked.
            httpx.ConnectError: it has no address, or none answers.
        """
        url = request.url
        addresses = await self._permitted(url)
        for address in addresses[:-1]:
            try:
                return await self._send(request, url, address)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        return await self._send(request, url, addresses[-1])

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def _permitted(self, url: httpx.URL) -> list[str]:
        port = url.port or {"https": 443}.get(url.scheme, 80)
        try:
            found = list(dict.fromkeys(await self._resolve(url.host, port)))
        except OSError as error:
            raise httpx.ConnectError(f"{url.host} has no address: {error.strerror}") from None
        if not found:
            raise httpx.ConnectError(f"{url.host} has no address")
        if not _listed(url, self._hosts):
            for text in found:
                _permit(url, ipaddress.ip_address(text.partition("%")[0]), self._hosts)
        return found

    async def _send(self, request: httpx.Request, url: httpx.URL, address: str) -> httpx.Response:
        """The certificate is held against the name, the Host header already says it."""
        request.url = url.copy_with(host=address.partition("%")[0])
        request.extensions = {**request.extensions, "sni_hostname": url.host}
        return await self._inner.handle_async_request(request)


async def _look_up(host: str, port: int) -> Sequence[str]:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(sockaddr[0]) for *_, sockaddr in found]


def _listed(url: httpx.URL, hosts: Sequence[str]) -> bool:
    """By its name, with or without the port: the administrator wants exactly this one."""
    named = {url.host.lower(), url.netloc.decode().lower()}
    return any(entry.lower() in named for entry in hosts if entry != PUBLIC)


def _permit(url: httpx.URL, address: Address, hosts: Sequence[str]) -> None:
    if any(address in network for network in _networks(hosts)):
        return
    if not all(each.is_global and not each.is_multicast for each in _meant(address)):
        raise _forbidden(url, "lies on this machine or in a private network")
    if PUBLIC not in hosts:
        raise _forbidden(url, "is not listed")
    if url.scheme != "https":
        raise _forbidden(url, "is asked without encryption")


def _meant(address: Address) -> list[Address]:
    """The address and those it carries in itself for translation."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    carried: list[Address | None] = [address.ipv4_mapped, address.sixtofour]
    carried += list(address.teredo or ())
    if address in _NAT64:
        carried.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    return [address, *(each for each in carried if each is not None)]


def _networks(hosts: Sequence[str]) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    found = []
    for entry in hosts:
        try:
            found.append(ipaddress.ip_network(entry, strict=False))
        except ValueError:
            continue
    return found


def _address(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _forbidden(url: httpx.URL, what: str) -> Forbidden:
    host = url.netloc.decode()
    return Forbidden(
        f"{host} {what}, so it is not asked. The administrator of this server can list it: "
        f"MODISTE_UPSTREAM_HOSTS=public,{host}.",
        param="url",
        code="upstream_forbidden",
    )
