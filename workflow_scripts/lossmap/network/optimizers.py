"""SGD and Adam over one flat parameter vector, by the functions that torch.optim's classes call.

The classes themselves load PyTorch's compiler when they are made, more than a second in each job.
`state` is what the next step depends on besides θ, by torch.optim's names: saved and restored.
"""

import torch
from torch.optim.adam import adam
from torch.optim.sgd import sgd


class Sgd:
    """Stochastic gradient descent with momentum; weight decay is an L2 term, as in torch.optim.

    Parameters
    ----------
    theta, gradient : float32 (params,)
    lr, momentum, nesterov, weight_decay : as of torch.optim.SGD
    """

    def __init__(
        self,
        theta: torch.Tensor,
        gradient: torch.Tensor,
        *,
        lr: float,
        momentum: float,
        nesterov: bool,
        weight_decay: float,
    ):
        self.theta, self.gradient, self.lr = theta, gradient, lr
        self.state: dict[str, torch.Tensor] = {}
        self._options = {"momentum": momentum, "nesterov": nesterov, "weight_decay": weight_decay}

    @torch.no_grad()
    def step(self) -> None:
        """Make one update of θ in place."""
        buffers = [self.state.get("momentum_buffer")]
        sgd(
            *([self.theta], [self.gradient], buffers),
            **{"lr": self.lr, "dampening": 0.0, "maximize": False, "foreach": False},
            **self._options,
        )
        if buffers[0] is not None:
            self.state["momentum_buffer"] = buffers[0]


class Adam:
    """Adam with β = 0.9, 0.999 and ε = 1e-8; weight decay is an L2 term, as in torch.optim.

    Parameters
    ----------
    theta, gradient : float32 (params,)
    lr, weight_decay : as of torch.optim.Adam
    """

    def __init__(
        self, theta: torch.Tensor, gradient: torch.Tensor, *, lr: float, weight_decay: float
    ):
        self.theta, self.gradient, self.lr = theta, gradient, lr
        self.state: dict[str, torch.Tensor] = {}
        self._weight_decay = weight_decay

    @torch.no_grad()
    def step(self) -> None:
        """Make one update of θ in place."""
        if not self.state:
            self.state["step"] = torch.tensor(0.0)
            for name in ("exp_avg", "exp_avg_sq"):
                self.state[name] = torch.zeros_like(self.theta)
        averages = ([self.state["exp_avg"]], [self.state["exp_avg_sq"]], [])
        adam(
            *([self.theta], [self.gradient], *averages, [self.state["step"]]),
            **{"lr": self.lr, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8},
            **{"amsgrad": False, "maximize": False, "foreach": False},
            weight_decay=self._weight_decay,
        )


Optimizer = Sgd | Adam
