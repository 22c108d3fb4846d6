"""Serve pages to a browser on this machine: loopback address, a secret token in the path, no other origin.

Whoever has the address can use the pages; who has not, cannot: another user's program must guess the token, and another
web page in the same browser is stopped by the checks of Host (DNS rebinding) and Origin (requests across sites).
Pages can be opened to other machines; then whoever reads the network sees all that they show.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import logging
import re
import secrets
import socket
import threading
import webbrowser
from collections.abc import Collection, Iterator, Sequence
from typing import Callable

from surgseg.files import UserError

LOOPBACK = "127.0.0.1"
_HOSTS = ("127.0.0.1", "localhost", "[::1]")  # any port: it changes when it is forwarded by SSH
_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",  # the address holds the token
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_POLICY = (
    "default-src 'none'; img-src 'self'; connect-src 'self'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


def check_host(host: str, allow_remote: Sequence[str] | None) -> list[str]:
    """Return the names under which a browser may ask for pages served on `host`, the one to show first.

    `allow_remote`: None: this machine only; else the names of this machine for others, () if `host` is its only name.
    Raises `UserError` for a `host` that other machines reach, if they are not allowed or no name is known.
    """
    if is_loopback(host):
        return [_in_address(host)]
    if allow_remote is None:
        raise UserError(
            f"--host {host}: whoever reaches this port over the network and has the address would see patient frames, "
            "and nothing is encrypted; forward the port by SSH instead (docs/reviewing.md), or add --allow-remote"
        )
    if not allow_remote and host in ("", "0.0.0.0", "::"):
        raise UserError(f"--host {host}: name this machine as its users call it: --allow-remote NAME")
    return [_in_address(name) for name in allow_remote or [host]]


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _in_address(host: str) -> str:
    return f"[{host}]" if ":" in host else host.lower()


def make_app(add_routes: Callable, token: str, names: Collection[str] = ()):
    """Return a Flask app whose pages lie below `/<token>/`. `add_routes(pages)` adds them to a Flask blueprint.

    `names` of this machine are allowed as Host besides those of loopback. Another token is another path: 404. Another
    Host or Origin, whichever page is asked for: 403. A template gets `nonce`, which its script and style elements must
    carry: no other script runs. Raises `UserError` where Flask is missing.
    """
    try:
        from flask import Blueprint, Flask, abort, g, request
    except ImportError as error:
        raise UserError("a page needs Flask: pip install flask") from error

    app = Flask("surgseg", static_folder=None)
    pages = Blueprint("pages", "surgseg", url_prefix=f"/{token}")
    add_routes(pages)
    app.register_blueprint(pages)

    @app.before_request
    def check() -> None:
        origin = request.headers.get("Origin")
        if re.sub(r":\d+$", "", request.host) not in (*_HOSTS, *names) or (
            origin is not None and origin != f"http://{request.host}"
        ):
            abort(403)
        if request.method not in ("GET", "HEAD") and origin is None:  # browsers send it with every POST
            abort(403)
        g.nonce = secrets.token_urlsafe(16)

    @app.context_processor
    def nonce() -> dict[str, str]:
        return {"nonce": g.nonce}

    @app.after_request
    def protect(response):
        response.headers.update(_HEADERS)
        response.headers["Content-Security-Policy"] = _POLICY.format(nonce=g.get("nonce", "none"))
        return response

    return app


@contextlib.contextmanager
def serving(
    add_routes: Callable,
    port: int,
    *,
    option: str = "--serve",
    host: str = LOOPBACK,
    names: Sequence[str] = (LOOPBACK,),
    open_browser: bool = False,
) -> Iterator[str]:
    """Serve in threads of their own while the block runs; yield the address with its token. `port` 0: any free one.

    `host` and `names` as for `check_host`. Raises `UserError`, which names the `option` of the port, if it is in use.
    """
    token = secrets.token_urlsafe(24)
    app = make_app(add_routes, token, names)
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # its lines for each request would show the token
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        what = getattr(error, "strerror", None) or error
        if host != LOOPBACK and getattr(error, "errno", None) not in (None, errno.EADDRINUSE, errno.EACCES):
            raise UserError(f"--host {host}: no address of this machine ({what})") from error
        raise UserError(f"{option} {port}: {what}; give another port, or 0 for any free one") from error
    root = f"http://{names[0]}:{listener.getsockname()[1]}"
    entrance = _add_entrance(app, token) if open_browser else ""
    with listener:
        server = make_server(host, port, app, threaded=True, fd=listener.fileno())
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True, name="web")
        thread.start()
        try:
            if open_browser:
                webbrowser.open(f"{root}/{entrance}")
            yield f"{root}/{token}/"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def _add_entrance(app, token: str) -> str:
    """Add a path that leads to the pages once, and return it: other users of the machine see a browser's arguments."""
    from flask import abort, redirect

    unused = [secrets.token_urlsafe(24)]

    @app.get("/<entrance>")
    def enter(entrance: str):
        try:
            unused.remove(entrance)
        except ValueError:
            abort(404)
        return redirect(f"/{token}/")

    return unused[0]
