"""Every claim that can be measured, by its name in the configuration."""

from collections.abc import Mapping
from pathlib import Path

from lossmap.artifacts.claims import Claim
from lossmap.claims import ding2023, horoi2021

CLAIMS = {**ding2023.CLAIMS, **horoi2021.CLAIMS}


def measure_claims(spec: dict, sources: Mapping[str, Path]) -> list[Claim]:
    """Return one row for each claim that the configuration lists, in the order of the papers.

    Parameters
    ----------
    spec : ``judge`` (whether this scale allows verdicts) and ``claims``
    sources : path of each artifact by ``stage/name``
    """
    found = spec["claims"]
    return [CLAIMS[name](found[name], sources, spec["judge"]) for name in CLAIMS if name in found]
