"""Requests to addresses that somebody named: what keeps them from reaching where only this service may.

The host is resolved once, every address it has is checked, and the connection goes to a checked one, under the name
that was asked for; so a name that changes its address in between gains nothing. No redirect is followed, no proxy of
the environment used, and of the answer no more read than its status.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

import httpx

SECONDS = 10.0
"""For the whole request."""
_NAT64 = IPv6Network("64:ff9b::/96")
Address = IPv4Address | IPv6Address


class Forbidden(Exception):
    """The address may not be connected to."""


async def post(url: str, body: bytes, headers: Mapping[str, str], *, private: bool = False) -> int:
    """The status of the answer. `private`: private and loopback addresses may be connected to. Raises Forbidden before
    anything is sent, OSError, TimeoutError or httpx.HTTPError when there is no answer."""
    target = httpx.URL(url)
    if target.scheme not in {"http", "https"} or not target.host or target.userinfo:
        raise Forbidden("the address must be http:// or https://, with a host and without credentials")
    async with asyncio.timeout(SECONDS):
        address = await _checked(target, private=private)
        async with httpx.AsyncClient(follow_redirects=False, trust_env=False, timeout=SECONDS) as client:
            request = client.build_request(
                "POST",
                target.copy_with(host=address),
                content=body,
                headers={**headers, "Host": target.netloc.decode("ascii")},
                extensions={"sni_hostname": target.host},
            )
            answer = await client.send(request, stream=True)
            await answer.aclose()
            return answer.status_code


async def _checked(target: httpx.URL, *, private: bool) -> str:
    """An address of the host. Raises Forbidden when one of them is not public."""
    port = target.port or (443 if target.scheme == "https" else 80)
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(target.host, port, type=socket.SOCK_STREAM)
    addresses = [ip_address(entry[4][0]) for entry in found]
    hidden = [str(a) for a in addresses if not is_public(a)]
    if hidden and not private:
        raise Forbidden(f"{target.host} leads to {hidden[0]}, which is not a public address")
    return str(addresses[0])


def is_public(address: Address) -> bool:
    """Whether it is on the open internet, also what it carries inside."""
    return all(inner.is_global and not inner.is_multicast for inner in (address, *_inside(address)))


def _inside(address: Address) -> list[Address]:
    """IPv4 addresses that an IPv6 address stands for."""
    if isinstance(address, IPv4Address):
        return []
    carried: list[Address | None] = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64:
        carried.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return [inner for inner in carried if inner is not None]
