"""The command line: `python -m tlctx top ADDRESS` shows the requests in flight of running servers in a terminal."""

from __future__ import annotations

import argparse
import importlib.util
from typing import TYPE_CHECKING

from tlctx._top.client import Client, TopError, checked_address
from tlctx._top.tokens import VARIABLE, find_token

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tlctx", description="Tools for applications that use tlctx.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    top = commands.add_parser(
        "top",
        help="show the requests in flight, live",
        description="Show the requests in flight, live. The token is read from the file, from the environment "
        f"variable {VARIABLE}, or asked for; never give it as an argument, which other users can read. q leaves.",
        allow_abbrev=False,
    )
    top.add_argument("address", metavar="ADDRESS", help="where the live view is mounted: https://example.com/requests/")
    top.add_argument("--token-file", metavar="FILE", help="a file that has the token and nothing else")
    top.add_argument("--every", metavar="SECONDS", type=_seconds, default=1.0, help="how often to ask (default: 1)")
    top.add_argument("--once", action="store_true", help="print the requests once, and leave")
    return parser


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0.2 <= seconds <= 3600:
        raise argparse.ArgumentTypeError("between 0.2 and 3600")
    return seconds


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command that the arguments name."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        if importlib.util.find_spec("rich") is None:
            raise TopError("top needs the package rich: pip install 'tlctx[top]'")
        _top(options)
    except TopError as error:
        parser.exit(1, f"{error}\n")
    except KeyboardInterrupt:
        parser.exit(130)


def _top(options: argparse.Namespace) -> None:
    from tlctx._top import screen

    address = checked_address(options.address)
    client = Client(address, find_token(options.token_file))
    if options.once:
        screen.show_once(client)
    else:
        screen.watch(client, options.every)


if __name__ == "__main__":
    main()
