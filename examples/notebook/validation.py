"""What comes from outside, made fit to be kept."""

from __future__ import annotations

__all__ = ["InvalidInput", "clean"]


class InvalidInput(Exception):  # noqa: N818 (errors is what it has)
    """What somebody entered can't be kept. `errors` says why, by field."""

    def __init__(self, errors: dict[str, str]) -> None:
        super().__init__(errors)
        self.errors = errors


def clean(text: str) -> str:
    """The text without what databases refuse (NUL, half characters), blank edges, and line ends of other systems."""
    valid = text.encode(errors="replace").decode()
    return valid.replace("\0", "").replace("\r\n", "\n").strip()
