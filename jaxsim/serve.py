"""Serves a library: a page to search, map, compare and mix it, and the same functions as JSON.

python -m jaxsim.serve STORE

Anyone who can reach the server can play the library's files and embed files of their own, so it
listens on this machine only unless --host says otherwise. The API is described at /docs.html.
"""

import argparse
import contextlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

from input_pipeline import command_line
from jaxsim.library import store
from jaxsim.library.intake import music_server

MAX_CONNECTIONS = 256
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    with (
        contextlib.suppress(KeyboardInterrupt),
        command_line.problems_in_one_line(),
        store.open(options.store) as library,
    ):
        run(library, options)


def _parser() -> argparse.ArgumentParser:
    parser = command_line.parser("jaxsim.serve", __doc__)
    add = parser.add_argument
    add("store", metavar="STORE", help="the folder that jaxsim.embed wrote")
    add(
        "--host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="the address to listen on; 0.0.0.0 for all addresses of this machine",
    )
    add(
        "--port",
        type=command_line.whole_number(0, 65535),
        default=8000,
        help="the port to listen on; 0 for any free port",
    )
    add(
        "--allow_host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name by which browsers may reach this machine; can be given several times",
    )
    add(
        "--allow_origin",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="an origin such as https://music.lan that may do what the page may: another front "
        "end, or the page's own address behind a proxy that does not pass it on; can be given "
        "several times",
    )
    add(
        "--root_path",
        default="",
        metavar="PATH",
        help="the path below which a proxy shows the service, such as /jaxsim",
    )
    add(
        "--trusted_proxy",
        action="append",
        default=[],
        metavar="ADDRESS",
        help="the address or network of a proxy whose X-Forwarded-Prefix, -Host and -Proto count; "
        "can be given several times",
    )
    add(
        "--subsonic",
        metavar="URL",
        help="a Subsonic server such as Navidrome: players that use this service in its place get "
        "similar songs and artists from the library, and everything else from that server",
    )
    music_server.add_login_options(parser)
    return parser


def run(library: store.Store, options: argparse.Namespace) -> None:
    """Serves until it is interrupted."""
    import uvicorn

    from jaxsim.library.service import guard, proxies
    from jaxsim.library.service.app import create_app
    from jaxsim.library.service.uploads import UploadEmbedder

    embedder = UploadEmbedder(library)
    app = create_app(
        library,
        embed_file=embedder,
        hosts=[*options.allow_host, _name(options.host)],
        origins=_read("--allow_origin", guard.origin, options.allow_origin),
        root_path=_read("--root_path", proxies.prefix, [options.root_path])[0],
        proxies=_read("--trusted_proxy", proxies.network, options.trusted_proxy),
        player=_player(options),
    )
    config = uvicorn.Config(
        app,
        log_level="warning",
        server_header=False,
        proxy_headers=False,  # `proxies` reads them
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=3,
    )

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: Any) -> None:
            """Ends it, at the second Ctrl-C at once; what it breaks off is no error to report."""
            if self.should_exit:
                os._exit(0)  # the decoder ends with its input
            logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
            # Uvicorn raises the signal again when it is done; SIGTERM would spare the decoder.
            super().handle_exit(signal.SIGINT, frame)

    server = Server(config)
    listening = _bind(options.host, options.port)
    port = listening.getsockname()[1]
    shown = f"[{options.host}]" if ":" in options.host else options.host
    print(f"{len(library)} tracks of {library.path}: http://{shown}:{port}/", flush=True)
    if options.host not in LOOPBACK:
        print("anyone who can reach this address can play these files", file=sys.stderr)
    threading.Thread(target=_warm, args=(app, embedder), daemon=True).start()
    app.state.serving.watch()
    try:
        server.run([listening])
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever presses Ctrl-C again gets their way
        embedder.close()


def _player(options: argparse.Namespace) -> Any:
    from jaxsim.library.service.subsonic.gateway import Gateway
    from jaxsim.library.service.subsonic.routes import Player

    login = music_server.read_login(options.subsonic_user, options.subsonic_password_file)
    if not options.subsonic:
        return Player(login=login)
    (url,) = _read("--subsonic", music_server.address, [options.subsonic])
    return Player(Gateway(url, login))


def _read(option: str, read: Callable[[str], Any], texts: Sequence[str]) -> list[Any]:
    """The values of an option; raises ValueError with its name."""
    try:
        return [read(text) for text in texts]
    except ValueError as error:
        raise ValueError(f"{option}: {error}") from None


def _bind(host: str, port: int) -> socket.socket:
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)
    except (OSError, OverflowError) as error:
        raise OSError(f"cannot listen on {host}, port {port}: {error}") from None


def _name(host: str) -> str:
    """The host name to allow; numerical addresses are allowed anyway."""
    return host if host not in ("", "0.0.0.0", "::") else "localhost"


def _warm(app, embedder) -> None:
    """Prepares for the first requests; a problem with uploads is reported again at each upload."""
    app.state.serving.current.warm()
    try:
        embedder.warm()
    except Exception as error:
        print(f"uploads: {error}", file=sys.stderr)


if __name__ == "__main__":
    main()
    # A normal exit of Python would stop the threads that are still warming up wherever they are,
    # and in native code that aborts the process.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
