"""One text for equal values: what specifications are compared and hashed by."""

import json


def canonical_json(value: object) -> str:
    """Return JSON that is equal exactly when the values are: keys sorted, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
