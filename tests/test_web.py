"""Pages for this machine only: token, Host, Origin, headers, the port."""

from __future__ import annotations

import re
import socket
import sys
import urllib.error
import urllib.request

import pytest

from surgseg.files import UserError
from surgseg.web import check_host, make_app, serving

TOKEN = "token"
SAME = {"Host": "127.0.0.1:8000", "Origin": "http://127.0.0.1:8000"}


def routes(pages) -> None:
    from flask import render_template_string

    @pages.get("/")
    def index():
        return render_template_string("<script nonce='{{ nonce }}'></script>")

    @pages.post("/do")
    def do():
        return "done"


@pytest.fixture(scope="module")
def client():
    return make_app(routes, TOKEN).test_client()


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:9", "localhost", "[::1]:8000", "127.0.0.1"])
def test_this_machine_is_served_also_through_a_forwarded_port(client, host):
    assert client.get("/token/", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example:80", "10.0.0.5:8000", "[::2]:80", "0"],
)
def test_another_host_is_refused_as_after_dns_rebinding(client, host):
    assert client.get("/token/", headers={"Host": host}).status_code == 403


@pytest.mark.parametrize("path", ["/", "/tokens/", "/toke/", "/TOKEN/", "/static/x", "//token/", "/%74oken2/do"])
def test_who_does_not_have_the_token_learns_nothing(client, path):
    answer = client.get(path, headers={"Host": "localhost"})
    assert answer.status_code == 404 and b"token" not in answer.data


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "null", "http://127.0.0.1:9000", "https://127.0.0.1:8000", "http://localhost:8000"],
)
@pytest.mark.parametrize("method", ["get", "post"])
def test_another_origin_is_refused(client, method, origin):
    path = "/token/do" if method == "post" else "/token/"
    assert getattr(client, method)(path, headers={**SAME, "Origin": origin}).status_code == 403


def test_what_changes_something_needs_the_own_origin(client):
    assert client.post("/token/do", headers={"Host": "127.0.0.1:8000"}).status_code == 403
    assert client.post("/token/do", headers=SAME).data == b"done"


def test_every_answer_carries_the_policy_and_allows_no_other_origin(client):
    for path in ("/token/", "/nothing"):
        answer = client.get(path, headers={"Host": "localhost"})
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
        assert answer.headers["Referrer-Policy"] == "no-referrer" and answer.headers["Cache-Control"] == "no-store"
        assert not [name for name, _ in answer.headers if name.lower().startswith("access-control")]


def test_only_scripts_of_the_page_itself_run(client):
    answers = [client.get("/token/", headers={"Host": "localhost"}) for _ in range(2)]
    nonces = [re.search(r"nonce='(.+?)'", answer.text).group(1) for answer in answers]
    assert nonces[0] != nonces[1]
    assert all(
        f"'nonce-{nonce}'" in answer.headers["Content-Security-Policy"] for nonce, answer in zip(nonces, answers)
    )


def test_it_serves_on_loopback_until_the_block_ends():
    with serving(routes, 0) as address:
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{32}/", address)
        with urllib.request.urlopen(address, timeout=10) as answer:
            assert answer.status == 200
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(re.sub(r"/[\w-]{32}/", "/x/", address), timeout=10)
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(address, timeout=10)


def test_a_port_in_use_is_one_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"--serve {port}: .*another port"), serving(routes, port):
            pass


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "localhost", "::1"])
def test_loopback_needs_no_permission(host):
    assert check_host(host, None) == [f"[{host}]" if ":" in host else host]


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.5", "::", "", "theatre-3.example", "127.0.0.1.example"])
def test_other_machines_are_let_in_only_on_request(host):
    with pytest.raises(UserError, match=r"patient frames.*nothing is encrypted.*SSH"):
        check_host(host, None)


def test_other_machines_may_use_the_given_names_only():
    assert check_host("10.0.0.5", []) == ["10.0.0.5"] and check_host("fe80::2", []) == ["[fe80::2]"]
    with pytest.raises(UserError, match="--allow-remote NAME"):
        check_host("0.0.0.0", [])
    client = make_app(routes, TOKEN, check_host("0.0.0.0", ["Theatre-3.example"])).test_client()
    for host, status in [("theatre-3.example:80", 200), ("0.0.0.0:80", 403), ("10.0.0.5:80", 403), ("localhost", 200)]:
        assert client.get("/token/", headers={"Host": host}).status_code == status


def test_the_browser_is_given_an_address_that_works_once(monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    with serving(routes, 0, open_browser=True) as address:
        token = address.split("/")[-2]
        assert len(opened) == 1 and token not in opened[0]
        with urllib.request.urlopen(opened[0], timeout=10) as answer:
            assert answer.url == address
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(opened[0], timeout=10)


def test_a_host_that_is_no_address_of_this_machine_is_named():
    with pytest.raises(UserError, match=r"--host 192\.0\.2\.1: no address"), serving(routes, 0, host="192.0.2.1"):
        pass


def test_a_missing_flask_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "flask", None)
    with pytest.raises(UserError, match="pip install flask"):
        make_app(routes, TOKEN)
