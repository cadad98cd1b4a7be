"""The service below a path, behind proxies, and beside other front ends."""

import contextlib
import http.server
import shutil
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvicorn
from fastapi.testclient import TestClient

from jaxsim.library.service import guard, proxies
from jaxsim.library.service.app import create_app
from jaxsim.library.store import Store
from tests.helpers.libraries import random_vectors

PROXY = "10.1.2.3"
TRUSTED = [proxies.network("10.0.0.0/8")]
SEARCH = {"like": ["0003"]}
Ask = Callable[..., TestClient]


@pytest.fixture
def ask(make_store: Callable[..., Store]) -> Iterator[Ask]:
    """Makes clients of servers with options; `peer` is the address that requests come from."""
    library = make_store(random_vectors(20), [{"title": f"Song {i}"} for i in range(20)])

    def make(peer: str = "127.0.0.1", host: str = "127.0.0.1:8000", **options: Any) -> TestClient:
        app = create_app(library, **options)
        return TestClient(app, base_url=f"http://{host}", client=(peer, 5000))

    yield make
    library.close()


@pytest.mark.parametrize("sent", ["/jaxsim", ""], ids=["kept", "stripped"])
@pytest.mark.parametrize("way", ["option", "header"])
def test_everything_works_below_a_path(ask: Ask, sent: str, way: str) -> None:
    options = {"root_path": "/jaxsim"} if way == "option" else {"proxies": TRUSTED}
    client = ask(peer=PROXY, **options)
    if way == "header":
        client.headers["x-forwarded-prefix"] = "/jaxsim"
    for path in ("/", "/app.js", "/docs.html", "/api/library", "/openapi.json"):
        assert client.get(sent + path).status_code == 200, path
    hit = client.post(f"{sent}/api/search", json=SEARCH).json()["hits"][0]
    row, name = hit["track"]["row"], hit["track"]["id"]
    assert hit["track"]["audio"] == f"/jaxsim/api/audio/{row}?id={name}"
    assert client.get(hit["track"]["audio"]).status_code == 403  # there is no file, but a route
    assert client.get(f"{sent}/openapi.json").json()["servers"] == [{"url": "/jaxsim"}]
    assert client.get(f"{sent}/nothing").status_code == 404
    if sent:
        moved = client.get("/jaxsim", follow_redirects=False)
        assert (moved.status_code, moved.headers["location"]) == (308, "/jaxsim/")
        assert client.get("/jaxsimilar/").status_code == 404


def test_the_page_has_no_address_of_its_own() -> None:
    """An address that begins with a slash would lead out of the path that a proxy shows."""
    from jaxsim.library.service.app import PAGE

    for file in PAGE.iterdir():
        if file.suffix in (".html", ".js", ".css"):
            text = file.read_text(encoding="utf-8")
            for wrong in ('"/api', "`/api", 'href="/', 'src="/', "url(/", 'from "/', '"/openapi'):
                assert wrong not in text, (file.name, wrong)


def test_uploads_may_be_large_below_a_path(make_store: Callable[..., Store]) -> None:
    from tests.helpers.libraries import embed_file

    with make_store(random_vectors(5)) as library:
        app = create_app(library, embed_file=embed_file, root_path="/jaxsim")
        client = TestClient(app, base_url="http://localhost")
        body = b"text" + bytes(2 * guard.MAX_BODY)
        assert client.post("/jaxsim/api/embed", content=body).status_code == 422  # not audio
        assert client.post("/jaxsim/api/search", content=body).status_code == 413


@pytest.mark.parametrize("peer", ["127.0.0.1", "11.1.2.3"])
def test_only_trusted_proxies_are_believed(ask: Ask, peer: str) -> None:
    client = ask(peer=peer, proxies=TRUSTED)
    headers = {"x-forwarded-prefix": "/jaxsim", "x-forwarded-host": "music.lan"}
    hit = client.post("/api/search", json=SEARCH, headers=headers).json()["hits"][0]
    assert hit["track"]["audio"].startswith("/api/audio/")


@pytest.mark.parametrize("said", ["//evil.example", "/a b", "jaxsim", "/a/../b", "/a\\b", "/a?b"])
def test_a_prefix_that_is_no_path_is_refused(ask: Ask, said: str) -> None:
    answer = ask(peer=PROXY, proxies=TRUSTED).get("/", headers={"x-forwarded-prefix": said})
    assert answer.status_code == 400
    assert "expected a path such as /jaxsim" in answer.json()["error"]


def post(client: TestClient, **headers: str) -> tuple[int, str]:
    answer = client.post(
        "/api/search", json=SEARCH, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )
    return answer.status_code, answer.json().get("error", "")


def test_a_proxy_with_its_own_host_is_told_what_to_set(ask: Ask) -> None:
    """nginx, unless told otherwise, sends the name of the upstream as Host, and nothing else."""
    status, error = post(ask(), origin="https://music.lan")
    assert status == 403
    assert "--allow_origin https://music.lan" in error
    allowed = ask(origins=["https://music.lan"])
    assert post(allowed, origin="https://music.lan")[0] == 200
    for other in ("http://music.lan", "https://music.lan:444", "https://evil.example", "null"):
        assert post(allowed, origin=other)[0] == 403
    status, error = post(ask(host="jaxsim:8000"), origin="https://music.lan")
    assert status == 421
    assert error.endswith("start it with --allow_host jaxsim")


def test_a_proxy_that_keeps_the_host_needs_its_name(ask: Ask) -> None:
    """Caddy and Traefik keep Host, and add X-Forwarded-Host."""
    headers = {"origin": "https://music.lan", "x_forwarded_host": "music.lan"}
    status, error = post(ask(host="music.lan"), **headers)
    assert status == 421
    assert "--allow_host music.lan" in error
    assert post(ask(host="music.lan", hosts=["music.lan"]), **headers)[0] == 200


def test_a_trusted_proxy_says_what_the_browser_asked_for(ask: Ask) -> None:
    client = ask(peer=PROXY, proxies=TRUSTED, hosts=["music.lan"])
    headers = {"origin": "https://music.lan", "x_forwarded_host": "music.lan"}
    assert post(client, **headers)[0] == 200
    assert post(client, **headers | {"origin": "https://evil.example"})[0] == 403
    evil = {"origin": "https://evil.example", "x_forwarded_host": "evil.example"}
    status, error = post(client, **evil)
    assert status == 421
    assert "X-Forwarded-Host is 'evil.example'" in error


def test_a_name_pointed_here_cannot_forward_itself(ask: Ask) -> None:
    """DNS rebinding from a browser beside a trusted proxy: the page sets what headers it likes."""
    client = ask(peer=PROXY, proxies=TRUSTED, host="evil.example:8000")
    assert post(client, origin="http://localhost", x_forwarded_host="localhost")[0] == 421


# Other front ends


def test_another_front_end_may_do_what_the_page_may(ask: Ask) -> None:
    front = "https://front.example:8443"
    client = ask(origins=[front])
    headers = {"origin": front, "sec-fetch-site": "cross-site", "sec-fetch-mode": "cors"}
    asked = {"access-control-request-method": "PUT"}
    answer = client.options("/api/presets/x", headers=headers | asked)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == front
    assert "PUT" in answer.headers["access-control-allow-methods"]
    assert "content-type" in answer.headers["access-control-allow-headers"]
    answer = client.put("/api/presets/x", json={"weights": {"genre": 1}}, headers=headers)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == front
    assert "origin" in answer.headers["vary"].lower()
    assert client.get("/api/nothing", headers=headers).headers["access-control-allow-origin"]
    refused = client.put("/api/presets/x", json={"weights": {}}, headers={"host": "evil.example"})
    assert refused.status_code == 421


@pytest.mark.parametrize(
    "other", ["https://front.example", "http://front.example:8443", "null", "https://evil.example"]
)
def test_no_other_origin_may(ask: Ask, other: str) -> None:
    client = ask(origins=["https://front.example:8443"])
    headers = {"origin": other, "sec-fetch-site": "cross-site"}
    asked = {"access-control-request-method": "POST"}
    for answer in (
        client.options("/api/search", headers=headers | asked),
        client.post("/api/search", json=SEARCH, headers=headers),
        client.get("/api/library", headers=headers),
    ):
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://Music.lan/", "https://music.lan"),
        ("http://music.lan:80", "http://music.lan"),
        ("https://music.lan:8443", "https://music.lan:8443"),
    ],
)
def test_origins_are_written_as_browsers_do(text: str, expected: str) -> None:
    assert guard.origin(text) == expected


@pytest.mark.parametrize(
    "text", ["*", "null", "music.lan", "https://a/b", "https://u@a", "ftp://a"]
)
def test_what_is_no_origin_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected an origin such as"):
        guard.origin(text)


# HEAD

READ = [
    "/",
    "/app.js",
    "/openapi.json",
    "/api/library",
    "/api/tracks?text=song",
    "/api/tracks/3",
    "/api/tracks/99",
    "/api/track?id=0003",
    "/api/presets",
    "/api/judge/anna",
    "/api/map/values?by=title",
    "/api/audio/0",
    "/rest/ping",
]


@pytest.mark.parametrize("path", READ)
def test_head_is_answered_as_get_is(ask: Ask, path: str) -> None:
    client = ask()
    get, head = client.get(path), client.head(path)
    assert head.status_code == get.status_code != 405
    assert head.content == b""
    assert head.headers["content-type"] == get.headers["content-type"]
    assert not any(
        "head" in methods for methods in client.get("/openapi.json").json()["paths"].values()
    )


# A real proxy: requests as nginx sends them


class Stripping(http.server.BaseHTTPRequestHandler):
    """Passes GET below /jaxsim to a server, without the prefix and with the server's own Host."""

    upstream = ""

    def do_GET(self) -> None:
        request = urllib.request.Request(self.upstream + self.path.removeprefix("/jaxsim"))
        request.add_header("x-forwarded-prefix", "/jaxsim")
        with urllib.request.urlopen(request, timeout=60) as answer:
            self.send_response(answer.status)
            self.send_header("content-type", answer.headers["content-type"])
            self.end_headers()
            shutil.copyfileobj(answer, self.wfile)

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def behind_a_proxy(app: Any) -> Iterator[str]:
    """The address that browsers use."""
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", proxy_headers=False))
    listening = socket.create_server(("127.0.0.1", 0))
    threads = [threading.Thread(target=server.run, args=([listening],))]
    Stripping.upstream = f"http://127.0.0.1:{listening.getsockname()[1]}"
    proxy = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stripping)
    threads.append(threading.Thread(target=proxy.serve_forever))
    for thread in threads:
        thread.start()
    yield f"http://127.0.0.1:{proxy.server_port}/jaxsim/"
    server.should_exit = True
    proxy.shutdown()
    for thread in threads:
        thread.join()
    proxy.server_close()


def test_through_a_proxy_that_strips_the_path(make_store: Callable[..., Store]) -> None:
    with make_store(random_vectors(5)) as library:
        app = create_app(library, proxies=[proxies.network("127.0.0.1")])
        with behind_a_proxy(app) as address:
            page = urllib.request.urlopen(address, timeout=60).read().decode()
            assert 'src="app.js"' in page
            for name in ("app.js", "api/tracks/3", "docs.html"):
                assert urllib.request.urlopen(address + name, timeout=60).status == 200
            track = urllib.request.urlopen(f"{address}api/tracks/3", timeout=60).read()
            assert b'"/jaxsim/api/audio/3?id=0003"' in track
