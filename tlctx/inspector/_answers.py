"""What the view answers to a request, whatever the protocol: the page, its files, and the JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, quote

from tlctx.inspector._texts import shown
from tlctx.inspector._wire import to_json

if TYPE_CHECKING:
    from tlctx.inspector._inspector import Inspector

__all__ = ["Answer", "answer", "forbidden", "unauthorized"]

_PAGE = Path(__file__).parent / "_page"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = (
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", _POLICY),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Referrer-Policy", "no-referrer"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
)


class Answer(NamedTuple):
    """Status line, headers and body."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes


def _answer(status: str, kind: str, body: bytes, *headers: tuple[str, str]) -> Answer:
    return Answer(status, [("Content-Type", kind), ("Content-Length", str(len(body))), *headers, *_HEADERS], body)


def _plain(status: str, *headers: tuple[str, str]) -> Answer:
    return _answer(status, "text/plain; charset=utf-8", f"{status}\n".encode(), *headers)


def _json(status: str, content: Any) -> Answer:
    return _answer(status, "application/json", to_json(content))


def unauthorized() -> Answer:
    """What somebody gets who has no token: browsers then ask for one."""
    return _plain("401 Unauthorized", ("WWW-Authenticate", 'Basic realm="tlctx", charset="UTF-8"'))


def forbidden() -> Answer:
    """What somebody gets whom the application's function does not let in."""
    return _plain("403 Forbidden")


def answer(inspector: Inspector, method: str, mount: str, path: str, query: str) -> Answer:
    """The answer to somebody who may look; `mount` is the path before `path`."""
    if method not in ("GET", "HEAD"):
        return _plain("405 Method Not Allowed", ("Allow", "GET, HEAD"))
    if path == "":  # the page's own addresses are relative to the folder
        return _plain("308 Permanent Redirect", ("Location", quote(mount.rpartition("/")[2]) + "/"))
    if path == "/requests.json":
        return _json("200 OK", inspector.look())
    if path == "/stack.json":
        return _stack(inspector, query)
    return _file(path)


def _stack(inspector: Inspector, query: str) -> Answer:
    try:
        which = parse_qs(query, max_num_fields=5).get("id", [""])[0]
    except ValueError:
        which = ""
    try:
        frames = inspector.stack(which)
    except TimeoutError as error:
        return _json(
            "503 Service Unavailable", {"id": which, "frames": [], "ended": False, "trouble": shown(str(error))}
        )
    if frames is None:
        return _json("404 Not Found", {"id": which[:200], "frames": [], "ended": True})
    return _json("200 OK", {"id": which, "frames": frames, "ended": False})


def _file(path: str) -> Answer:
    name = "index.html" if path == "/" else path[1:]
    files = {file.name: file for file in _PAGE.iterdir()} if _PAGE.is_dir() else {}
    kind = _TYPES.get(Path(name).suffix)
    if name not in files or kind is None:
        return _plain("404 Not Found")
    return _answer("200 OK", kind, files[name].read_bytes())
