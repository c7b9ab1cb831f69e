"""The artifact `projection`: a trajectory seen in the planes of a basis, and its Fitting Error."""

import numpy as np

from lossmap.artifacts.declare import artifact, f64, i64, store_as, text


@artifact("projection", version=1)
class Projection:
    """A run projected onto one or more planes.

    *Orthogonal* is the least-squares reading of ding2023 Eq. 4, *literal* that equation as printed.
    """

    coordinates: f64["snapshots", "two"]
    """Positions along d_0, d_1 of the first plane [1]"""
    epochs: i64["snapshots"]
    """Epoch of each snapshot, since initialization [epochs]"""
    loss: f64["snapshots"]
    """Loss at the snapshots themselves [nats per image]"""
    seeds: i64.at("planes/seeds")["planes"]
    """Seed of each plane; -1 for PCA, which has none [seed]"""
    projected_loss_orthogonal: f64.at("planes/projected_loss_orthogonal")["planes", "snapshots"]
    """Loss at the projected snapshots, orthogonal [nats per image]"""
    projected_loss_literal: f64.at("planes/projected_loss_literal")["planes", "snapshots"]
    """Loss at the projected snapshots, literal [nats per image]"""
    fitting_error_orthogonal: f64.at("planes/fitting_error_orthogonal")["planes"]
    """Fitting Error (ding2023 Eq. 3), orthogonal [1]"""
    fitting_error_literal: f64.at("planes/fitting_error_literal")["planes"]
    """Fitting Error (ding2023 Eq. 3), literal [1]"""
    non_finite_orthogonal: i64.at("planes/non_finite_orthogonal")["planes"]
    """Terms of Eq. 3 that are not finite, orthogonal [count]"""
    non_finite_literal: i64.at("planes/non_finite_literal")["planes"]
    """Terms of Eq. 3 that are not finite, literal [count]"""
    loss_label: text[()] | None = None
    """What the loss is called, with its unit; "loss (nats)" where absent"""

    @store_as(f64.at("projected_loss_orthogonal")["snapshots"])
    def first_loss_orthogonal(self) -> np.ndarray:
        """Return `planes/projected_loss_orthogonal` of the first plane [nats per image]."""
        return self.projected_loss_orthogonal[0]

    @store_as(f64.at("projected_loss_literal")["snapshots"])
    def first_loss_literal(self) -> np.ndarray:
        """Return `planes/projected_loss_literal` of the first plane [nats per image]."""
        return self.projected_loss_literal[0]

    @store_as(f64.at("fitting_error_orthogonal")[()])
    def first_error_orthogonal(self) -> float:
        """Return `planes/fitting_error_orthogonal` of the first plane [1]."""
        return self.fitting_error_orthogonal[0]

    @store_as(f64.at("fitting_error_literal")[()])
    def first_error_literal(self) -> float:
        """Return `planes/fitting_error_literal` of the first plane [1]."""
        return self.fitting_error_literal[0]
