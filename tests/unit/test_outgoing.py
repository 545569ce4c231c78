"""Posts to addresses that somebody named reach nothing that only the service may reach."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address
from typing import Any

import httpx
import pytest

from app.outgoing import Forbidden, is_public, post
from tests.support.receiver import receiver


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.9.9.9", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
        "224.0.0.1", "255.255.255.255", "198.18.0.1", "::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1",
        "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::",
        "2002:a00:1::1", "2001:db8::1",
    ],
)  # fmt: skip
def test_hidden_addresses_are_known(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"])
def test_public_addresses_are_known(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "127.1", "[::1]", "[::ffff:127.0.0.1]"]
)
async def test_loopback_is_refused_however_it_is_written(host: str) -> None:
    async with receiver() as other:
        with pytest.raises((Forbidden, OSError)):
            await post(f"http://{host}:{other.port}/", b"{}", {})
        assert other.got == []


@pytest.mark.parametrize("url", ["ftp://8.8.8.8/", "file:///etc/passwd", "http:///x", "http://user:key@8.8.8.8/"])
async def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(Forbidden):
        await post(url, b"{}", {})


async def test_one_hidden_address_of_a_name_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    resolved = [(2, 1, 6, "", ("8.8.8.8", 80)), (2, 1, 6, "", ("10.0.0.1", 80))]

    async def both(*_: Any, **__: Any) -> Any:
        return resolved

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", both)
    with pytest.raises(Forbidden, match=r"leads to 10\.0\.0\.1"):
        await post("http://two.example/", b"{}", {})


async def test_a_name_is_resolved_once_and_its_checked_address_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second look could be answered with another address: there is none, neither ours nor the client's."""
    asked: list[str] = []
    async with receiver() as other:

        async def once(host: str, port: int, **_: Any) -> Any:
            asked.append(host)
            return [(2, 1, 6, "", ("127.0.0.1", port))]

        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", once)
        status = await post(f"http://fleet.example:{other.port}/a?b=c", b"{}", {"X-One": "1"}, private=True)
        assert (status, asked) == (200, ["fleet.example"])
        [got] = other.got
        assert got.line == "POST /a?b=c HTTP/1.1"
        assert got.headers["host"] == f"fleet.example:{other.port}" and got.headers["x-one"] == "1"


async def test_a_redirect_is_not_followed() -> None:
    async with receiver() as aim, receiver(f"302 Found\r\nLocation: http://127.0.0.1:{aim.port}/") as other:
        assert await post(other.url, b"{}", {}, private=True) == 302
        assert aim.got == []


async def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiver() as proxy, receiver() as other:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        assert await post(other.url, b"{}", {}, private=True) == 200
        assert proxy.got == []


async def test_silence_is_an_error() -> None:
    async with receiver(None) as other:
        with pytest.raises(httpx.HTTPError):
            await post(other.url, b"{}", {}, private=True)
