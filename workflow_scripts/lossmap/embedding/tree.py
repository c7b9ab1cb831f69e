"""The artificial tree on which PHATE is shown."""

import numpy as np
import phate.tree

from lossmap.artifacts.distance import Cloud, Origins, describe_rows
from lossmap.geometry.distances import measure_cloud_geometry


def grow_tree(spec: dict) -> Cloud:
    """Return the artificial tree of horoi2021 Fig. 1C, one trajectory per branch.

    Parameters
    ----------
    spec : `dimensions`, `branches`, `length` (points per branch), `sigma` (noise), `seed`

    Notes
    -----
    phate.tree.gen_dla seeds NumPy's global generator; its state is restored.
    """
    state = np.random.get_state()  # noqa: NPY002
    try:
        points, branch = phate.tree.gen_dla(
            n_dim=spec["dimensions"],
            n_branch=spec["branches"],
            branch_length=spec["length"],
            seed=spec["seed"],
            sigma=spec["sigma"],
        )
    finally:
        np.random.set_state(state)  # noqa: NPY002
    epoch = np.tile(np.arange(spec["length"]), spec["branches"])
    rows = describe_rows(len(points), trajectory=branch.astype(np.int64), epoch=epoch)
    return measure_cloud_geometry({"tree": points}, Origins(**rows, sources=["tree"]))
