"""The artifact `curvature`: the spectrum of the loss's Hessian at one snapshot."""

from pathlib import Path

import numpy as np

from lossmap.artifacts.declare import artifact, f32, f64, i64, store_as, text
from lossmap.artifacts.store import load_part
from lossmap.artifacts.trajectory import History, find_snapshot


@artifact("curvature", version=1)
class Curvature:
    """The Hessian H of the loss at a snapshot, known by its products with vectors.

    Every probe is a vector z of random signs; its `traces` and `scaled_traces` are unbiased
    estimates. From the first of them start quadratures: the mean over these of the sum of weights
    times f(nodes) approximates the mean of f over all eigenvalues.
    """

    epoch: i64[()]
    """Epoch of the snapshot [epochs]"""
    loss: f64[()]
    """Loss at the snapshot [nats per image]"""
    gradient_norm: f64[()]
    """L2 norm of the gradient at the snapshot [nats per image]"""
    eigenvalues: f64["modes"]
    """Largest eigenvalues of H, in descending order [nats per image]"""
    eigenvectors: f32["modes", "params"]
    """Their eigenvectors, of length 1; the largest entry of each is positive [1]"""
    residuals: f64["modes"]
    """L2 norm of H v - lambda v of each [nats per image]"""
    traces: f64["probes"]
    """z' H z: the mean estimates the trace of H [nats per image]"""
    scaled_traces: f64["probes"]
    """(theta z)' H (theta z) with the elementwise product: the mean estimates the sum of
    theta_i^2 H_ii, which no rescaling of weights changes that leaves the loss alone
    [nats per image]"""
    nodes: f64["quadratures", "steps"]
    """Where each quadrature takes a function of the eigenvalues [nats per image]"""
    weights: f64["quadratures", "steps"]
    """How much of each value it takes; the sum is 1 [1]"""
    loss_label: text[()] | None = None
    """What the loss is called, with its unit; "loss (nats)" where absent"""

    @store_as(f64[()])
    def trace(self) -> float:
        """Return the mean of `traces` [nats per image]."""
        return float(self.traces.mean())

    @store_as(f64[()])
    def trace_error(self) -> float:
        """Return the standard error of `trace`; NaN of one probe [nats per image]."""
        return standard_error(self.traces)

    @store_as(f64[()])
    def scaled_trace(self) -> float:
        """Return the mean of `scaled_traces` [nats per image]."""
        return float(self.scaled_traces.mean())

    @store_as(f64[()])
    def scaled_trace_error(self) -> float:
        """Return the standard error of `scaled_trace`; NaN of one probe [nats per image]."""
        return standard_error(self.scaled_traces)


def read_sharpness(path: str | Path, history: History) -> dict[str, float]:
    """Return how sharp a snapshot is and what its run had reached there; reads no eigenvector.

    Parameters
    ----------
    path : of the curvature
    history : of the run whose snapshot it is

    Raises
    ------
    LossmapError
        The curvature is damaged, or the run kept no snapshot at its epoch.
    """
    names = ("epoch", "eigenvalues", "residuals", "traces", "scaled_traces")
    found = {name: load_part(path, Curvature, name) for name in names}
    row = find_snapshot(history.epochs, found["epoch"], path)
    return {
        "epoch": found["epoch"],
        "largest_eigenvalue": float(found["eigenvalues"][0]),
        "residual": float(found["residuals"][0]),
        "trace": float(found["traces"].mean()),
        "trace_error": standard_error(found["traces"]),
        "scaled_trace": float(found["scaled_traces"].mean()),
        "scaled_trace_error": standard_error(found["scaled_traces"]),
        "train_loss": float(history.train_loss[row]),
        "test_accuracy": float(history.test_accuracy[row]),
    }


def standard_error(values: np.ndarray) -> float:
    """Return the standard error of a mean, NaN of one value."""
    count = len(values)
    return float(values.std(ddof=1) / np.sqrt(count)) if count > 1 else float("nan")
