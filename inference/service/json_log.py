"""A log of one JSON object a line, without anything of the histories."""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, TextIO

__all__ = ["JsonFormatter", "log_as_json"]


class JsonFormatter(logging.Formatter):
    """Writes a message as JSON, with the facts that its `extra={"facts": {...}}` adds."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a message."""
        found: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **getattr(record, "facts", {}),
        }
        if record.exc_info and record.exc_info[0] is not None:
            # The message of an exception may quote a history; where it was raised does not.
            found["exception"] = record.exc_info[0].__name__
            found["traceback"] = "".join(traceback.format_tb(record.exc_info[2]))
        return json.dumps(found, ensure_ascii=False, default=str)


def log_as_json(level: str, stream: TextIO | None = None) -> None:
    """Write the messages of the service and of uvicorn to standard error (or a stream) as JSON."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    for name in ("seqrec", "uvicorn", "py.warnings"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level.upper())
    logging.getLogger("uvicorn").setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[level.upper()]))
    logging.captureWarnings(True)
