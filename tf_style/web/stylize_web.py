"""The command line of `stylize-web`: a studio in the browser, on this machine."""

import argparse
import contextlib
import errno
import os
import pathlib
import platform
import socket
import threading
import webbrowser
from collections.abc import Sequence

from tf_style._version import __version__
from tf_style.commands import runner
from tf_style.commands.messages import emit
from tf_style.commands.runner import add_flag, always
from tf_style.errors import InputError
from tf_style.files import reason_of, shown

DEFAULT_PORT = 7788
DEFAULT_QUOTA_GIB = 10.0
# How many ports after the one asked for are tried.
NUM_PORTS = 100


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the program.

    Args:
      argv: Arguments without the program's name; None for the process's own.

    Returns:
      The exit code: 1 for a failure; 2 for a wrong request; 130 after Ctrl-C, 143 after SIGTERM.
    """
    return runner.run(_parser(), _run, argv)


def _run(arguments: argparse.Namespace) -> int:
    try:
        import starlette  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise InputError(f"The studio needs {error.name}: pip install 'tf-style[web]'") from error
    from tf_style.transfer import checkpoint_lock
    from tf_style.web import private_folder, students
    from tf_style.web.app import make_app
    from tf_style.web.security import LOOPBACK
    from tf_style.web.store import Store
    from tf_style.web.studio import Studio

    if not arguments.quota > 0:
        raise InputError(f"--quota is a number of GiB above 0. Received: {arguments.quota}")
    folder = os.path.abspath(arguments.folder or _default_folder())
    known = students.read(arguments.student)
    store = Store(folder, quota_bytes=int(arguments.quota * 2**30), students=known)
    with (
        checkpoint_lock.held(folder),
        _listening(arguments.host, arguments.port) as listener,
        runner.stop_on_signals() as stop,
        contextlib.ExitStack() as opening,
    ):
        token, studio = private_folder.token(store.folder), Studio(store)
        host, port = listener.getsockname()[:2]
        is_everywhere = host in ("0.0.0.0", "::")
        app = make_app(
            studio,
            token,
            hosts=[arguments.host.lower(), *([platform.node().lower()] if is_everywhere else [])],
            any_address=is_everywhere,
        )
        name = "127.0.0.1" if is_everywhere else arguments.host
        address = f"http://{f'[{name}]' if ':' in name else name}:{port}/?token={token}"
        print(address, flush=True)
        emit(
            f"uploads, pictures and runs are kept in {shown(folder)}, {arguments.quota:g} GiB at most; "
            "Ctrl-C ends the studio, and a run under way goes on the next time"
        )
        if host not in LOOPBACK:
            emit(f"{arguments.host} can be reached from other machines, unencrypted", "warning")
        if arguments.browser:
            page = opening.enter_context(private_folder.redirect(store.folder, address))
            # A browser in a terminal would keep the server waiting.
            threading.Thread(target=webbrowser.open, args=(page,), daemon=True).start()

        class Server(uvicorn.Server):
            async def startup(self, sockets=None):
                await super().startup(sockets)
                self.should_exit |= stop()  # A signal that came before it listened for any.

            async def shutdown(self, sockets=None):
                studio.leave()  # Or it would wait for streams of events to end.
                await super().shutdown(sockets)

        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            lifespan="on",
            ws="none",
            timeout_graceful_shutdown=1,
        )
        Server(config).run(sockets=[listener])
        return stop.exit_code


@contextlib.contextmanager
def _listening(host: str, port: int):
    """A socket that listens at a port, or at the next free one."""
    if not 0 <= port < 2**16:
        raise InputError(f"--port is 0 to 65535. Received: {port}")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise InputError(f"--host {shown(host)} is no address: {reason_of(error)}") from error
    family, kind, protocol, _, address = found[0]
    for each in range(port, min(port + NUM_PORTS, 2**16)):
        with socket.socket(family, kind, protocol) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((address[0], each, *address[2:]))
                listener.listen()
            except OSError as error:
                if error.errno in (errno.EADDRINUSE, errno.EACCES):
                    continue
                raise InputError(f"--host {shown(host)} cannot be used: {reason_of(error)}") from error
            yield listener
            return
    raise InputError(f"No port from {port} to {port + NUM_PORTS - 1} is free: name another by --port.")


def _default_folder() -> pathlib.Path:
    data = os.environ.get("XDG_DATA_HOME") or os.path.expanduser("~/.local/share")
    return pathlib.Path(data) / "tf_style" / "studio"


def _parser() -> runner.Parser:
    parser = runner.Parser(
        prog="stylize-web",
        description="A studio in the browser, on this machine: drop in a photograph and a painting, "
        "and watch the picture form. Nothing is fetched from the network or sent to it.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    add_flag(
        *(parser, "--host", always),
        default="127.0.0.1",
        help="where to listen (default: %(default)s, which other machines cannot reach)",
    )
    add_flag(
        *(parser, "--port", always),
        type=int,
        default=DEFAULT_PORT,
        help="or the next free one (default: %(default)s)",
    )
    add_flag(
        *(parser, "--folder", always),
        metavar="FOLDER",
        help="for uploads, pictures and runs (default: ~/.local/share/tf_style/studio)",
    )
    add_flag(
        *(parser, "--quota", always),
        type=float,
        metavar="GIB",
        default=DEFAULT_QUOTA_GIB,
        help="what the folder may hold before nothing more is accepted (default: %(default)s)",
    )
    add_flag(
        *(parser, "--student", always),
        metavar="FOLDER",
        action="append",
        default=[],
        help="one of stylize-train's, to choose in the page; can be given several times",
    )
    add_flag(
        *(parser, "--no-browser", always),
        dest="browser",
        action="store_false",
        help="print the address, and open none",
    )
    runner.add_messages(parser)
    return parser
