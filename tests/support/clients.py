"""Clients of requests and httpx: each is set up by some Outbounds, sends a request, and follows redirects."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import requests

if TYPE_CHECKING:
    from collections.abc import Callable


def of_requests(*outbounds: Any) -> Callable[..., Any]:
    session = requests.Session()
    session.trust_env = False
    for outbound in outbounds:
        outbound.install(session)

    def get(url: str, **options: Any) -> Any:
        with session:
            return session.get(url, **options)

    return get


def of_httpx(*outbounds: Any) -> Callable[..., Any]:
    client = httpx.Client(follow_redirects=True, trust_env=False, verify=False)
    for outbound in outbounds:
        outbound.install(client)

    def get(url: str, **options: Any) -> Any:
        with client:
            return client.get(url, **options)

    return get


def of_async_httpx(*outbounds: Any) -> Callable[..., Any]:
    client = httpx.AsyncClient(follow_redirects=True, trust_env=False, verify=False)
    for outbound in outbounds:
        outbound.install(client)

    def get(url: str, **options: Any) -> Any:
        async def send() -> Any:
            async with client:
                return await client.get(url, **options)

        return asyncio.run(send())

    return get
