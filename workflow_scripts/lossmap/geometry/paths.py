"""Which rows of a cloud form a trajectory."""

from collections.abc import Iterator

import numpy as np


def trajectory_rows(trajectory: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the rows of each trajectory in their order; rows marked -1 belong to none."""
    for index in range(trajectory.max(initial=-1) + 1):
        yield np.flatnonzero(trajectory == index)
