"""The one exception that this project raises on purpose, and what others say in one line."""

import re


class LossmapError(Exception):
    """An expected failure: what was expected, what was found, where, and what to do about it.

    The message is one line, whatever it quotes; entry scripts print it without a traceback.
    """

    def __str__(self) -> str:
        """Return the message with its line ends spelled out."""
        return "\\n".join(super().__str__().splitlines())


def reason(error: BaseException | Warning) -> str:
    """Return the cause in one line; HDF5 reports a full disk in several, the cause inside."""
    inside = re.search("error message = '([^']+)'", str(error))
    cause = getattr(error, "strerror", None) or (inside and inside[1]) or str(error)
    return " ".join(cause.split()) or type(error).__name__


def kind_and_reason(error: BaseException) -> str:
    """Return the type of an exception and what it says, in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())
