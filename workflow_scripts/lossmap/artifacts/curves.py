"""The names of what is measured at every snapshot of a run."""

LOSS_LABEL = "loss (nats)"
"""What a loss is called in figures where its artifact has no `loss_label`."""
CURVES = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")
"""Losses in nats per image, accuracies as shares of images."""
SNAPSHOT_CURVES = (*CURVES, "theta_norm")
"""With the L2 norm of the parameters."""
