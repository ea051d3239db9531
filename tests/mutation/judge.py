"""How a mutant fares against the tests that meet it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from mutation.baseline import files_of
from mutation.mutants import ROOT, module_name

if TYPE_CHECKING:
    from mutation.baseline import Baseline
    from mutation.mutants import Mutant
    from mutation.pool import Pool

FIRST = 60
"""How many tests are tried at first; what survives them meets the others too."""


@dataclass
class Verdict:
    """What became of a mutant: `status` is "survived", "equivalent", or how it was caught."""

    id: str
    file: str
    line: int
    operator: str
    diff: str
    status: str
    tests: int = 0
    seconds: float = 0.0

    @property
    def is_caught(self) -> bool:
        """Whether a test failed, or could not run, or did not end."""
        return self.status not in ("survived", "equivalent")

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def verdict(mutant: Mutant, status: str) -> Verdict:
    """A verdict without a run."""
    return Verdict(mutant.id, mutant.file, mutant.line, mutant.operator, mutant.diff, status)


def judge(mutant: Mutant, baseline: Baseline, pool: Pool) -> Verdict:
    """Run the tests that meet it until one fails."""
    made = verdict(mutant, "survived")
    tests = baseline.covering(mutant)
    with pool.server() as server:
        for some in (tests[:FIRST], tests[FIRST:]):
            if not some:
                break
            answer = server.run(
                module=module_name(mutant.file), path=str(ROOT / mutant.file), source=mutant.source, tests=some,
                arguments=["-x", *files_of(some)], timeout=baseline.timeout(some),
            )  # fmt: skip
            made.tests += len(some)
            made.seconds += answer["seconds"]
            made.status = answer["status"]
            if made.is_caught:
                break
    return made
