"""The list of faults of ASGI, and how one is added: `asgi_faults` and `asgi_faults_of_clients` fill it."""

from __future__ import annotations

from servers.visit import Fault, adding_to

FAULTS: list[Fault] = []
fault = adding_to(FAULTS)
