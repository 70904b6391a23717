"""Run the service: its port, its signals, its end."""

import asyncio
import errno
import logging
import signal
import socket
from typing import Any

import uvicorn
from fastapi import FastAPI

from seqrec.errors import InputError

__all__ = ["open_port", "run_app"]

logger = logging.getLogger("seqrec.service")
LAST_SECONDS = 30  # for answers that are under way when the service is told to stop


def open_port(host: str, port: int) -> socket.socket:
    """Reserve a port; 0 for any free one.

    Raises:
        InputError: If it is in use, or may not be opened, or the host is not one of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        opened.bind((host, port))
    except (OSError, OverflowError) as error:
        opened.close()
        raise InputError(refusal(host, port, error)) from error
    return opened


def refusal(host: str, port: int, error: Exception) -> str:
    """Say why a port cannot be opened."""
    number = getattr(error, "errno", None)
    if number == errno.EADDRINUSE:
        return f"Port {port} of {host} is in use. Stop the program that uses it, or choose another with --port."
    if number == errno.EACCES:
        return f"Port {port} may not be opened by this user. Choose one of at least 1024 with --port."
    return f"{host} and port {port} cannot be opened ({error}). Give an address of this machine with --host."


def run_app(app: FastAPI, opened: socket.socket) -> None:
    """Answer requests until SIGTERM or Ctrl-C; those under way are answered first. SIGHUP loads the model again."""
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="on",
        timeout_graceful_shutdown=LAST_SECONDS,
    )
    server = Server(config, opened)
    signal.signal(signal.SIGTERM, lambda number, frame: None)  # uvicorn sends it again once it has stopped
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(serve(server, app, opened))


async def serve(server: uvicorn.Server, app: FastAPI, opened: socket.socket) -> None:
    """Run a server, and let SIGHUP load the model again."""
    tasks: set[asyncio.Task[Any]] = set()  # the loop itself does not keep them

    def reload() -> None:
        task = asyncio.create_task(app.state.service.slot.reload(even_if_unchanged=True))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    if hasattr(signal, "SIGHUP"):
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload)
    await server.serve(sockets=[opened])


class Server(uvicorn.Server):
    """A server that says where it answers."""

    def __init__(self, config: uvicorn.Config, opened: socket.socket) -> None:
        super().__init__(config)
        self.opened = opened

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer, and log the address."""
        await super().startup(sockets)
        host, port = self.opened.getsockname()[:2]
        address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        version = self.config.app.state.service.slot.model.version  # type: ignore[union-attr]
        logger.info("ready", extra={"facts": {"event": "ready", "address": address, "model_version": version}})
