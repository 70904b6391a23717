"""Run `seqrec serve` in a process of its own."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

__all__ = ["HOST", "service"]

HOST = "127.0.0.1"


@contextmanager
def service(model: str, *flags: str) -> Iterator[int]:
    """Run the service without a log of its requests, and give its port."""
    with socket.socket() as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "seqrec.cli", "serve", "--model", model, "--port", str(port)]
    process = subprocess.Popen([*command, "--watch_seconds", "0", "--log_level", "warning", *flags])
    try:
        wait_for(port, process)
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)


def wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    """Wait until the service answers."""
    for _ in range(600):
        if process.poll() is not None:
            raise RuntimeError("the service did not start")
        with suppress(OSError), socket.create_connection((HOST, port)):
            return
        time.sleep(0.1)
    raise RuntimeError("the service did not answer within a minute")
