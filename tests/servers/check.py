"""What must hold after every fault, on every server: `violations` lists what does not."""

from __future__ import annotations

import json
import re
import time
from typing import Any

from servers.client import PATIENCE
from servers.running import Running, until
from servers.visit import Fault, Visit, reason

SECRET = "S3CRET"
ENOUGH = 40
"""Probes after which a thread that has not served again is taken to have ended."""


def violations(fault: Fault, running: Running, tag: str, patience: float = PATIENCE) -> list[str]:
    """Run the fault, then list what is left of it: nothing, if all is well."""
    assert running.answers(), f"{running.server} does not answer"  # this request makes the app start afresh, too
    visit = Visit(running, tag)
    reported = reports(running)
    try:
        fault.act(visit)
        found = visit.wrong + _after_death(fault, visit) + _residues(visit, patience)
    finally:
        visit.disconnect()
    if not reason(fault.killed, running.server):
        found += _parts(visit, patience)
    found += [f"saw foreign data: {words}" for words in _foreign(visit)]
    found += _unreported(fault, running, reported, patience)
    return found + ["the server's log shows a value"] * (SECRET in running.log)


def _unreported(fault: Fault, running: Running, before: tuple[int, int], patience: float) -> list[str]:
    """tlctx logs each scope that it had to clean up itself, once. The line may come after the last event."""

    def since() -> tuple[int, ...]:
        return tuple(after - then for after, then in zip(reports(running), before, strict=True))

    if fault.reported is None or until(lambda: since() == fault.reported, patience):
        return []
    return [f"logged {since()} of {fault.reported}"]


def reports(running: Running) -> tuple[int, int]:
    """How many dropped bodies, and how many failed teardowns, the server's log has."""
    about = r"request #\d+ \(\w+ /\w+\): {}, \d+\.\d{{3}} s after it began"
    kinds = (r"the server dropped its body without close\(\)", "its teardown failed")
    dropped, failed = (len(re.findall(about.format(kind), running.log)) for kind in kinds)
    return dropped, failed


def _foreign(visit: Visit) -> list[str]:
    events = visit.running.events_by_tag()
    return [" ".join(words) for tag in visit.all_tags() for name, *words in events[tag] if name == "foreign"]


def _after_death(fault: Fault, visit: Visit) -> list[str]:
    """Restart the server if the fault was expected to end it."""
    running = visit.running
    if reason(fault.dies, running.server):
        if not until(lambda: not running.is_up, PATIENCE):
            return ["the server did not end, as the table says"]
        running.start()
    return [] if running.is_up else ["the server ended"]


def _probe(visit: Visit) -> dict[str, Any] | None:
    """What a later request sees: one that the fault has sent, or one on its connection, or on a new connection."""
    if visit.reports:
        return dict(visit.reports.pop(0))
    answer = visit.ask_path("/probe", close=visit.connection is None)
    return None if answer.broken or answer.status != 200 else dict(json.loads(answer.body))


def _residues(visit: Visit, patience: float) -> list[str]:
    """Probe until nothing is left or time is up: on the thread of the fault, if that can serve again."""
    places = {place for tag in visit.tags for place in visit.places(tag)}
    deadline = time.monotonic() + patience
    left, seen = ["no probe was answered"], set[tuple[int, int]]()
    number = 0
    while time.monotonic() < deadline:
        number += 1
        try:
            report = _probe(visit)
        except OSError:
            report = None
        if report is None:
            time.sleep(0.01)
            continue
        seen.add(tuple(report["place"]))
        if report["outside"] or report["inside"]:
            return [f"a later request sees {report['outside']} {report['inside']}"]
        left = _left(visit, report)
        if not left and (number > ENOUGH or not _meetable(visit, places, seen) or places & seen):
            return []
        time.sleep(0.01 if left else 0)
    return left


def _left(visit: Visit, report: dict[str, Any]) -> list[str]:
    living = sorted(set(report["living"]) & set(visit.tags))
    return [f"not freed: {living}"] * bool(living) + [f"open: {report['open']}"] * bool(report["open"])


def _meetable(visit: Visit, places: set[tuple[int, int]], seen: set[tuple[int, int]]) -> bool:
    """Whether the fault's thread may serve again: its process does, and the server keeps its threads."""
    return visit.running.server.one_thread and bool({pid for pid, _ in places} & {pid for pid, _ in seen})


def _parts(visit: Visit, patience: float) -> list[str]:
    """Each request's teardown ran exactly once."""

    def uneven() -> list[str]:
        events = visit.running.events_by_tag()
        counts = [(tag, *count_scopes(events[tag])) for tag in visit.all_tags()]
        return [f"{closed} teardowns of {opened}: {tag}" for tag, opened, closed in counts if opened != closed]

    until(lambda: not uneven(), patience)
    return uneven()


def count_scopes(events: list[list[str]]) -> tuple[int, int]:
    """How many scopes a request opened and closed."""
    names = [name for name, *_ in events]
    return names.count("opened"), names.count("closed")
