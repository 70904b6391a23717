"""Errors that clients see: a status, and a sentence to act on."""

from collections.abc import Mapping
from typing import Any

from fastapi.responses import JSONResponse

from seqrec.errors import InputError

__all__ = ["STATUSES", "ServiceError", "service_error_of"]

# What the statuses of errors mean, for the documentation of the API.
STATUSES = {
    400: "The body is not JSON, or the connection broke off.",
    401: "The API key is missing or wrong.",
    403: "This needs API keys, and the service runs without.",
    404: "There is no such path.",
    405: "The path has another method.",
    408: "The body did not arrive in time.",
    413: "The body is too large.",
    422: "The request cannot be answered; the error says why, and what to change.",
    429: "Too many requests are waiting. Try again after the seconds in Retry-After.",
    500: "A bug, or a model with infinite or NaN scores.",
    503: "The service is stopping, or too busy to answer in time. Try again.",
    504: "The answer took too long.",
}


class ServiceError(Exception):
    """An answer with an error.

    Args:
        status: Status of the answer.
        sentence: The error: what was given, what was expected, what to do.
        headers: Further headers of the answer.
    """

    def __init__(self, status: int, sentence: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(sentence)
        self.status, self.sentence, self.headers = status, sentence, dict(headers or {})

    def response(self) -> JSONResponse:
        """Return the answer."""
        return JSONResponse({"error": self.sentence}, self.status, self.headers)


def service_error_of(error: BaseException) -> ServiceError:
    """Turn an error of answering a request into one that its client sees."""
    if isinstance(error, ServiceError):
        return error
    if isinstance(error, InputError):
        return ServiceError(422, str(error))
    # The messages of other errors may reveal something of the machine.
    return ServiceError(500, f"The request failed by {a_class(error)}: an error of the service. Its log says more.")


def a_class(error: Any) -> str:
    """Name the class of an error with its article."""
    name = type(error).__name__
    return f"an {name}" if name[0] in "AEIOU" else f"a {name}"
