"""Mutation testing of the core: `python tests/mutation/run.py --help`.

Each mutant is one small change of the package. It meets the tests that run the changed line, on the pure-Python
implementation, and one of them should fail. What survives shows what no test checks.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # so that it runs as a command, from anywhere

import click
from mutation import report
from mutation.baseline import Baseline, failing, record
from mutation.equivalent import equivalent
from mutation.judge import FIRST, Verdict, judge, verdict
from mutation.mutants import Mutant, files, mutants_of
from mutation.pool import Pool
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from collections.abc import Iterable

T = TypeVar("T")
COLUMNS = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
console = Console()


@click.command()
@click.option("--jobs", default=2, show_default=True, help="How many mutants run at a time.")
@click.option("--file", "chosen", multiple=True, help="Only this file, as tlctx/wsgi.py; may be given again.")
@click.option("--only-survivors", type=click.Path(path_type=Path, exists=True), help="Only what survived in this JSON.")
@click.option("--json", "out", type=click.Path(path_type=Path), help="Where to save what became of each mutant.")
@click.option("--resume", is_flag=True, help="Leave out what the JSON has already, of a run of the same code.")
@click.option("--exclude", multiple=True, help="Leave out the tests whose id matches this pattern; may be given again.")
@click.option("--check-equivalent", is_flag=True, help="Run those that are listed as equivalent too.")
@click.option("--minimum", default=90.0, show_default=True, help="The score, in percent, below which it fails.")
def main(
    jobs: int, chosen: tuple[str, ...], only_survivors: Path | None, out: Path | None, resume: bool,
    exclude: tuple[str, ...], check_equivalent: bool, minimum: float,
) -> None:  # fmt: skip
    """Change the package in many small ways, and see whether the tests notice."""
    mutants = _mutants(chosen)
    reasons = equivalent()
    _warn_of_stale(mutants, reasons, chosen)
    if only_survivors is not None:
        wanted = report.survivors(only_survivors)
        mutants = [mutant for mutant in mutants if mutant.id in wanted]
    with Pool(jobs) as pool:
        baseline = _baseline(pool, mutants, exclude)
        saved = report.Saved(out, resume=resume)
        for mutant in mutants:
            if mutant.id in reasons and not check_equivalent:
                saved.add(verdict(mutant, "equivalent"))
        _judge_all([mutant for mutant in mutants if mutant.id not in saved.verdicts], baseline, pool, saved)
    verdicts = [saved.verdicts[mutant.id] for mutant in mutants]
    _settle_equivalent(verdicts, reasons)
    verdicts.sort(key=lambda each: (each.file, each.line, each.operator, each.id))
    saved.write()
    report.show(console, verdicts)
    if only_survivors is None and report.score(verdicts) < minimum:
        raise click.ClickException(f"the score is below {minimum} %")


def _mutants(chosen: tuple[str, ...]) -> list[Mutant]:
    paths = files()
    unknown = set(chosen) - {path.as_posix() for path in paths}
    if unknown:
        raise click.BadParameter(f"not a file to mutate: {', '.join(sorted(unknown))}")
    wanted = [path for path in paths if not chosen or path.as_posix() in chosen]
    return [mutant for path in _tracked(wanted, "making mutants") for mutant in mutants_of(path)]


def _baseline(pool: Pool, mutants: list[Mutant], exclude: tuple[str, ...]) -> Baseline:
    with pool.server() as server:
        with console.status("running the tests without a mutant"):
            baseline = record(server, exclude)
            failed = set(baseline.failed)
        if not failed:
            for file in _tracked(sorted({mutant.file for mutant in mutants}), "running the tests of each file"):
                covering = (baseline.covering(mutant)[:FIRST] for mutant in mutants if mutant.file == file)
                tests = sorted({test for some in covering for test in some}, key=lambda test: baseline.seconds[test])
                failed.update(failing(server, tests))
    if exclude:
        console.print(f"warning: tests are left out: {', '.join(exclude)}", style="yellow", markup=False)
    if failed:
        names = "\n  ".join(sorted(failed))
        raise click.ClickException(f"these tests fail without a mutant; mend or --exclude them:\n  {names}")
    return baseline


def _judge_all(mutants: list[Mutant], baseline: Baseline, pool: Pool, saved: report.Saved) -> None:
    with ThreadPoolExecutor(pool.jobs) as executor:
        futures = [executor.submit(judge, mutant, baseline, pool) for mutant in mutants]
        try:
            for future in _tracked(as_completed(futures), "mutants", len(futures)):
                saved.add(future.result())
        finally:
            executor.shutdown(cancel_futures=True)


def _tracked(values: Iterable[T], description: str, total: int | None = None) -> Iterable[T]:
    with Progress(*COLUMNS, console=console) as progress:
        yield from progress.track(values, total, description=description)


def _warn_of_stale(mutants: list[Mutant], reasons: dict[str, str], chosen: tuple[str, ...]) -> None:
    stale = set(reasons) - {mutant.id for mutant in mutants}
    if stale and not chosen:
        console.print(
            f"warning: equivalent.toml lists mutants that are gone: {', '.join(sorted(stale))}", style="yellow"
        )


def _settle_equivalent(verdicts: list[Verdict], reasons: dict[str, str]) -> None:
    for each in verdicts:
        if each.id in reasons and each.is_caught:
            console.print(
                f"warning: listed as equivalent, but caught: {each.id} {each.file}:{each.line}", style="yellow"
            )
        elif each.id in reasons:
            each.status = "equivalent"


if __name__ == "__main__":
    main()
