"""Messages of other libraries, short enough to stand in a sentence of ours."""

LONGEST = 200  # characters


def one_line(message: object, longest: int = LONGEST) -> str:
    """Put a message on one line, cut off where it is long; of an `OSError`, what the system said.

    Args:
        message: Text, or an exception.
        longest: Characters to keep.
    """
    text = message.strerror if isinstance(message, OSError) and message.strerror else str(message)
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in text[: 4 * longest]).split())
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"
