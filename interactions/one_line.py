"""Shorten messages of other libraries to fit into ours."""

__all__ = ["one_line"]

LONGEST = 200  # characters


def one_line(message: object, longest: int = LONGEST) -> str:
    """Put a message on one line and truncate it.

    Args:
        message: Text, or an exception; for an `OSError`, the system's own description is used.
        longest: Maximum length in characters.
    """
    text = message.strerror if isinstance(message, OSError) and message.strerror else str(message)
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in text[: 4 * longest]).split())
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"
