"""The one exception that this project raises on purpose."""


class LossmapError(Exception):
    """An expected failure: what was expected, what was found, where, and what to do about it.

    The message is one line; entry scripts print it without a traceback.
    """
