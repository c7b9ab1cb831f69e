"""The artifact `grid`: the loss and accuracy over a plane."""

from lossmap.artifacts.declare import artifact, f64, i64, text


@artifact("grid", version=1)
class Grid:
    """Loss and accuracy at center + alphas[i] d_0 + betas[j] d_1.

    A loss that is not finite is stored as inf; NaN means that a point was not evaluated. `checked`
    and what follows exist for a landscape in bfloat16 only.
    """

    alphas: f64["n_alpha"]
    """Positions along direction d_0 [1]"""
    betas: f64["n_beta"]
    """Positions along direction d_1 [1]"""
    loss: f64["n_alpha", "n_beta"]
    """Mean cross-entropy at each point of the plane [nats per image]"""
    accuracy: f64["n_alpha", "n_beta"]
    """Share of images that are classified correctly [1]"""
    checked: i64["points", "two"] | None = None
    """Points that were evaluated in float32 as well, as (i, j) [index]"""
    checked_loss: f64["points"] | None = None
    """Their losses in float32 [nats per image]"""
    deviation: f64[()] | None = None
    """Largest relative deviation of `loss` from `checked_loss` [1]"""
    loss_label: text[()] | None = None
    """What the loss is called, with its unit; "loss (nats)" where absent"""
