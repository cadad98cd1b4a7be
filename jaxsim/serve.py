"""Serves a library: a page to search, map, compare and mix it, and the same functions as JSON.

python -m jaxsim.serve STORE

Anyone who can reach the server can play the library's files and embed files of their own, so it
listens on this machine only unless --host says otherwise. The API is described at /docs.html.
"""

import argparse
import contextlib
import os
import socket
import sys
import threading
from collections.abc import Sequence

from input_pipeline import command_line
from jaxsim.library import store

MAX_CONNECTIONS = 256
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def main(arguments: Sequence[str] | None = None) -> None:
    options = _parser().parse_args(arguments)
    with (
        command_line.problems_in_one_line(),
        store.open(options.store) as library,
        contextlib.suppress(KeyboardInterrupt),
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
    return parser


def run(library: store.Store, options: argparse.Namespace) -> None:
    """Serves until it is interrupted."""
    import uvicorn

    from jaxsim.library.service.app import create_app
    from jaxsim.library.service.uploads import UploadEmbedder

    embedder = UploadEmbedder(library)
    app = create_app(library, embed_file=embedder, hosts=[*options.allow_host, _name(options.host)])
    config = uvicorn.Config(
        app,
        log_level="warning",
        server_header=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_graceful_shutdown=3,
    )
    server = uvicorn.Server(config)
    listening = _bind(options.host, options.port)
    port = listening.getsockname()[1]
    shown = f"[{options.host}]" if ":" in options.host else options.host
    print(f"{len(library)} tracks of {library.path}: http://{shown}:{port}/", flush=True)
    if options.host not in LOOPBACK:
        print("anyone who can reach this address can play these files", file=sys.stderr)
    threading.Thread(target=_warm, args=(app, embedder), daemon=True).start()
    try:
        server.run([listening])
    finally:
        embedder.close()


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
    app.state.shared.warm()
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
