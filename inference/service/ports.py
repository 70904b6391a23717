"""Open a port, before anything heavy is imported."""

import errno
import socket

from seqrec.errors import InputError

__all__ = ["open_port"]


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
