"""The one exception that this project raises on purpose, and how it quotes others."""


class LossmapError(Exception):
    """An expected failure: what was expected, what was found, where, and what to do about it.

    The message is one line; entry scripts print it without a traceback.
    """


def name_error(error: Exception) -> str:
    """Return type and message of somebody else's exception in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())
