"""API keys, read from a file."""

import hashlib
import hmac
from collections.abc import Mapping
from pathlib import Path

from seqrec.errors import InputError

__all__ = ["ApiKeys"]

SHORTEST = 16  # characters
BEARER = "bearer "
ADVICE = "Write one a line, such as the output of: openssl rand -hex 32"


class ApiKeys:
    """Keys that clients send as `Authorization: Bearer KEY` or `X-API-Key: KEY`.

    Args:
        keys: The keys.
    """

    def __init__(self, keys: list[str]) -> None:
        self.digests = [digest(key) for key in keys]

    @classmethod
    def read(cls, file: str | Path) -> "ApiKeys":
        """Read a file with one key a line; empty lines, and lines that begin with #, are skipped.

        Raises:
            InputError: If it holds no key, or a key is shorter than 16 characters.
        """
        lines = [line.strip() for line in Path(file).read_text(encoding="utf-8").splitlines()]
        keys = [line for line in lines if line and not line.startswith("#")]
        if not keys:
            raise InputError(f"{file} holds no API key. {ADVICE}")
        if min(map(len, keys)) < SHORTEST:
            raise InputError(f"{file} holds a key of less than {SHORTEST} characters. {ADVICE}")
        return cls(keys)

    def allow(self, headers: Mapping[bytes, bytes]) -> bool:
        """Return whether a request's headers (in lower case) hold one of the keys.

        All keys are compared, each in constant time, so that the time taken tells nothing about them.
        """
        authorization = headers.get(b"authorization", b"").decode("latin-1")
        is_bearer = authorization.lower().startswith(BEARER)
        given = authorization[len(BEARER) :].strip() if is_bearer else headers.get(b"x-api-key", b"").decode("latin-1")
        found = digest(given)
        matches = [hmac.compare_digest(found, one) for one in self.digests]
        return any(matches)


def digest(key: str) -> bytes:
    """Hash a key, so that all have the same length."""
    return hashlib.sha256(key.encode()).digest()
