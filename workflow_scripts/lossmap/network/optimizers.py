"""SGD and Adam over one flat parameter vector, by the functions that torch.optim's classes call.

The classes themselves load PyTorch's compiler when they are made, more than a second in each job.
`state` is what the next step depends on besides θ, by torch.optim's names: saved and restored. It
is there from the beginning and changes in place, as the rate does on a GPU: a captured step uses
both.
"""

from collections.abc import Mapping

import torch
from torch.optim.adam import adam
from torch.optim.sgd import sgd


class _Flat:
    """What both rules share.

    Attributes
    ----------
    capturable : the rate is a tensor and no value is read on the CPU; the last bits differ
    """

    def __init__(
        self, theta: torch.Tensor, gradient: torch.Tensor, lr: float, capturable: bool | None
    ):
        self.theta, self.gradient = theta, gradient
        self.capturable = theta.is_cuda if capturable is None else capturable
        self.state: dict[str, torch.Tensor] = {}
        self._rate = torch.zeros((), device=theta.device)
        self.lr = lr

    @property
    def lr(self) -> float:
        """The learning rate."""
        return self._lr

    @lr.setter
    def lr(self, value: float) -> None:
        self._lr = value
        self._rate.fill_(value)

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        """Go on from a saved state."""
        for name, values in state.items():
            self.state[name].copy_(values)


class Sgd(_Flat):
    """Stochastic gradient descent with momentum; weight decay is an L2 term, as in torch.optim.

    Parameters
    ----------
    theta, gradient : float32 (params,)
    lr, momentum, nesterov, weight_decay : as of torch.optim.SGD
    capturable : None for whether θ is on a GPU
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
        capturable: bool | None = None,
    ):
        super().__init__(theta, gradient, lr, capturable)
        self._momentum, self._nesterov, self._weight_decay = momentum, nesterov, weight_decay
        if momentum:
            self.state["momentum_buffer"] = torch.empty_like(theta)
        self.reset()

    def reset(self) -> None:
        """Forget all steps: the first one makes the gradient the momentum buffer."""
        for buffer in self.state.values():
            buffer.fill_(-0.0)  # adding it leaves every number as it is, zeros of both signs

    @torch.no_grad()
    def step(self) -> None:
        """Make one update of θ in place."""
        buffer = self.state.get("momentum_buffer")
        if self.capturable:
            self.theta.addcmul_(self._descent(buffer), self._rate, value=-1.0)
            return
        sgd(
            [self.theta],
            [self.gradient],
            [buffer],
            lr=self.lr,
            dampening=0.0,
            maximize=False,
            foreach=False,
            momentum=self._momentum,
            nesterov=self._nesterov,
            weight_decay=self._weight_decay,
        )

    def _descent(self, buffer: torch.Tensor | None) -> torch.Tensor:
        """Return what is subtracted from θ, times the rate (torch.optim.SGD's pseudo-code)."""
        gradient = self.gradient
        if self._weight_decay:
            gradient = gradient.add(self.theta, alpha=self._weight_decay)
        if buffer is None:
            return gradient
        buffer.mul_(self._momentum).add_(gradient)
        return gradient.add(buffer, alpha=self._momentum) if self._nesterov else buffer


class Adam(_Flat):
    """Adam with β = 0.9, 0.999 and ε = 1e-8; weight decay is an L2 term, as in torch.optim.

    Parameters
    ----------
    theta, gradient : float32 (params,)
    lr, weight_decay : as of torch.optim.Adam
    capturable : None for whether θ is on a GPU
    """

    def __init__(
        self,
        theta: torch.Tensor,
        gradient: torch.Tensor,
        *,
        lr: float,
        weight_decay: float,
        capturable: bool | None = None,
    ):
        super().__init__(theta, gradient, lr, capturable)
        self._weight_decay = weight_decay
        self.state["step"] = torch.zeros((), device=theta.device if self.capturable else "cpu")
        for name in ("exp_avg", "exp_avg_sq"):
            self.state[name] = torch.zeros_like(theta)

    def reset(self) -> None:
        """Forget all steps."""
        for tensor in self.state.values():
            tensor.zero_()

    @torch.no_grad()
    def step(self) -> None:
        """Make one update of θ in place."""
        adam(
            [self.theta],
            [self.gradient],
            [self.state["exp_avg"]],
            [self.state["exp_avg_sq"]],
            [],
            [self.state["step"]],
            beta1=0.9,
            beta2=0.999,
            eps=1e-8,
            amsgrad=False,
            maximize=False,
            foreach=False,
            lr=self._rate if self.capturable else self.lr,
            capturable=self.capturable,
            weight_decay=self._weight_decay,
        )


Optimizer = Sgd | Adam
