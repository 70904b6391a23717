"""Run the service: its signals and its end."""

import asyncio
import logging
import signal
import socket
from typing import Any

import uvicorn
from fastapi import FastAPI

__all__ = ["run_app"]

logger = logging.getLogger("seqrec.service")
LAST_SECONDS = 30  # for answers that are under way when the service is told to stop


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
        version = self.config.app.state.service.slot.model.version
        logger.info("ready", extra={"facts": {"event": "ready", "address": address, "model_version": version}})
