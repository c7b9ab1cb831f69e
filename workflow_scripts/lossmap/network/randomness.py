"""The generators that a network may draw from: torch's, NumPy's and Python's own."""

import random

import numpy as np
import torch


def seed_generators(seed: int) -> None:
    """Seed all of them, 0 ≤ seed < 2³²."""
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - what the user's network may call
    random.seed(seed)


def python_states() -> tuple:
    """Return the states of NumPy's and Python's generators, which can be compared."""
    name, keys, *rest = np.random.get_state()  # noqa: NPY002
    return (name, tuple(keys.tolist()), *rest), random.getstate()


def set_python_states(states: tuple) -> None:
    """Go back to states of `python_states`."""
    of_numpy, of_python = states
    np.random.set_state(of_numpy)  # noqa: NPY002
    random.setstate(of_python)


def torch_states(device: str) -> list[torch.Tensor]:
    """Return the states of torch's generators that work on a device can change."""
    return [torch.get_rng_state()] + ([torch.cuda.get_rng_state()] if device == "cuda" else [])
