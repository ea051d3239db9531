"""The list of faults of ASGI, and how one is added: `asgi_faults` and `asgi_faults_of_clients` fill it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from servers.visit import Fault, Visit

if TYPE_CHECKING:
    from collections.abc import Callable

FAULTS: list[Fault] = []


def fault(**limits: Any) -> Callable[[Callable[[Visit], None]], Callable[[Visit], None]]:
    def add(act: Callable[[Visit], None]) -> Callable[[Visit], None]:
        FAULTS.append(Fault(act, **limits))
        return act

    return add
