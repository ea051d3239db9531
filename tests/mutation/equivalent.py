"""The mutants that no test can catch, with the reasons: `equivalent.toml`."""

from __future__ import annotations

import tomllib
from pathlib import Path

PATH = Path(__file__).with_name("equivalent.toml")


def equivalent() -> dict[str, str]:
    """The reason of each, by its id. Raises ValueError if one has no reason, or two."""
    reasons: dict[str, str] = {}
    for entry in tomllib.loads(PATH.read_text()).get("equivalent", []):
        if not entry["reason"].strip():
            raise ValueError(f"no reason: {entry}")
        for line in entry["mutants"]:
            id_ = line.split(maxsplit=1)[0]
            if id_ in reasons:
                raise ValueError(f"{id_} is there twice")
            reasons[id_] = entry["reason"]
    return reasons
