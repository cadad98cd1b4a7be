"""A real Subsonic server, Supysonic, in a process of its own.

python -m tests.helpers.music_server FOLDER WORK serves the music in FOLDER and prints its port.
"""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

USERS = {"anna": "secret ü&=", "ben": "other"}


@contextlib.contextmanager
def serving(folder: Path, work: Path) -> Iterator[str]:
    """The address of a server of the music in `folder`; `work` is an empty folder for it."""
    command = [sys.executable, "-m", __name__, str(folder), str(work)]
    with (work / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        assert port, (work / "log").read_text()
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.communicate()


def main(folder: str, work: str) -> None:
    from supysonic.config import DefaultConfig
    from supysonic.managers.folder import FolderManager
    from supysonic.managers.user import UserManager
    from supysonic.scanner import Scanner
    from supysonic.web import create_application
    from werkzeug.serving import make_server

    config = DefaultConfig()
    config.BASE = DefaultConfig.BASE | {"database_uri": f"sqlite:///{work}/music.db"}
    config.WEBAPP = DefaultConfig.WEBAPP | {"cache_dir": f"{work}/cache", "log_level": "DEBUG"}
    app = create_application(config)
    from supysonic.db import close_connection, open_connection

    open_connection()
    for name, password in USERS.items():
        UserManager.add(name, password)
    FolderManager.add("music", folder)
    scanner = Scanner()
    scanner.queue_folder("music")
    scanner.run()
    close_connection()
    server = make_server("127.0.0.1", 0, app, threaded=True)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main(*sys.argv[1:])
