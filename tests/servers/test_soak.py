"""The soak is a command that reports, draws, and fails if anything leaks; here for some seconds only."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.helpers import PATIENCE

pytestmark = pytest.mark.servers

SOAK = Path(__file__).parent / "soak.py"


def soak(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SOAK), "--minutes=0.05", *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)


def test_the_soak_finds_no_leak_and_writes_its_numbers_and_a_chart(tmp_path: Path) -> None:
    ran = soak(f"--json={tmp_path}/numbers", f"--picture={tmp_path}/picture.svg")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    reports = json.loads((tmp_path / "numbers").read_text())
    assert [report["server"] for report in reports] == ["gthread", "gevent"]
    for report in reports:
        assert report["foreign"] == report["residues"] == report["open_scopes"] == 0
        assert report["opened"] == report["closed"] > 0
        assert report["faults"] > 0
        assert len(report["memory"]) > 10
    picture = (tmp_path / "picture.svg").read_text()
    assert "<svg" in picture
    assert "resident memory" in picture
    assert "foreign" in ran.stdout


@pytest.mark.control
def test_the_soak_finds_what_a_naive_middleware_leaks() -> None:
    ran = soak("--server=gthread", "--middleware=naive")
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "somebody else's: /anonymous as " in ran.stdout
