"""The table of faults: what each one does, and which servers have limits of their own.

A fault is a function of a `Visit`, and has the function's name. Each module adds its own to FAULTS.
"""

from __future__ import annotations

from servers import faults_in_answers, faults_of_clients, faults_of_processes
from servers.visit import FAULTS

__all__ = ["FAULTS"]

assert faults_in_answers, faults_of_clients
assert FAULTS[-1].act is faults_of_processes.any_of_them_later_on, "it looks at the requests of all others"
