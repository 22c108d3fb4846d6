"""Serve pages to a browser on this machine only: loopback address, a secret token in the path, no other origin.

Whoever has the address can use the pages; who has not, cannot: another user's program must guess the token, and another
web page in the same browser is stopped by the checks of Host (DNS rebinding) and Origin (requests across sites).
"""

from __future__ import annotations

import contextlib
import logging
import re
import secrets
import socket
import threading
from collections.abc import Iterator
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


def make_app(add_routes: Callable, token: str):
    """Return a Flask app whose pages lie below `/<token>/`. `add_routes(pages)` adds them to a Flask blueprint.

    Another token is another path: 404. Another Host or Origin, whichever page is asked for: 403. A template gets
    `nonce`, which its script and style elements must carry: no other script runs. Raises `UserError` where Flask is
    missing.
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
        if re.sub(r":\d+$", "", request.host) not in _HOSTS or (
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
def serving(add_routes: Callable, port: int) -> Iterator[str]:
    """Serve in threads of their own while the block runs; yield the address with its token. `port` 0: any free one.

    Raises `UserError` if the port is in use.
    """
    token = secrets.token_urlsafe(24)
    app = make_app(add_routes, token)
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # its lines for each request would show the token
    try:
        listener = socket.create_server((LOOPBACK, port))
    except (OSError, OverflowError) as error:
        what = getattr(error, "strerror", None) or error
        raise UserError(f"--serve {port}: {what}; give another port, or 0 for any free one") from error
    with listener:
        server = make_server(LOOPBACK, port, app, threaded=True, fd=listener.fileno())
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True, name="web")
        thread.start()
        try:
            yield f"http://{LOOPBACK}:{listener.getsockname()[1]}/{token}/"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()
