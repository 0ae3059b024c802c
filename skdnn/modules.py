"""The parts of a fitted model as PyTorch modules, which :func:`skdnn.torch.to_module` imports."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from skdnn import model
from skdnn.core import activations
from skdnn.core.network import Network
from skdnn.inputs import FAR, FARTHEST, Inputs
from skdnn.targets import Classes, Numbers, Targets


class Model(nn.Module):
    """X -> y, in the user's units: `skdnn.model.Model` as a module."""

    def __init__(self, of: model.Model, keepdim: bool) -> None:
        super().__init__()
        self.inputs: Encoding = Encoding(of.inputs)
        self.networks: Any = nn.ModuleList(layers(network) for network in of.networks)
        self.targets: Decoding = Decoding(of.targets, keepdim)

    def forward(self, X: Any) -> Any:
        """Return predictions of rows."""
        A = self.inputs(X)
        return self.targets(sum(network(A) for network in self.networks) / len(self.networks))


class Encoding(nn.Module):
    """X in the networks' coordinates."""

    def __init__(self, inputs: Inputs) -> None:
        super().__init__()
        self.clips: bool = inputs.clips
        keep(self, center=inputs.center, scale=inputs.scale)

    def forward(self, X: Any) -> Any:
        """Return f(X), element by element."""
        if self.center is None:
            return X
        limit = FAR if self.clips else FARTHEST
        Z = torch.clamp((X - self.center) / self.scale, -limit, limit)
        return Z / torch.sqrt(1.0 + (Z / 3.0) ** 2) if self.clips else Z


class Decoding(nn.Module):
    """Predictions from raw outputs."""

    def __init__(self, targets: Targets, keepdim: bool) -> None:
        super().__init__()
        self.keepdim = keepdim
        self.is_exp: bool = targets.loss.out_activation == "exp"
        self.decides: bool = isinstance(targets, Classes) and targets.n_outputs == 2
        self.sorts: bool = bool(targets.loss.levels)
        center, scale = None, None
        if isinstance(targets, Numbers):
            center, scale = targets.center, targets.scale
        keep(self, center=center, scale=scale)

    def forward(self, Z: Any) -> Any:
        """Return what `predict` gives of numbers, and `decision_function` of classes."""
        if self.decides:
            Z = Z[:, 1:] - Z[:, :1]
        Y = torch.exp(Z) if self.is_exp else Z
        if self.scale is not None:
            Y = (Y * self.scale + self.center).to(Z.dtype)
        if self.sorts:
            Y = torch.sort(Y, dim=1).values
        return Y[:, 0] if Y.shape[1] == 1 and not self.keepdim else Y


class Scaled(nn.Module):
    """c times another activation."""

    def __init__(self, c: float, of: nn.Module) -> None:
        super().__init__()
        self.c: float = c
        self.of: Any = of

    def forward(self, Z: Any) -> Any:
        """Return c g(Z)."""
        return self.c * self.of(Z)


def layers(network: Network) -> nn.Sequential:
    """Return the layers of a network; the last has no activation."""
    W, b, found = network.parameters.W, network.parameters.b, []
    for l in range(1, len(W)):
        m, n = W[l].shape
        layer = nn.utils.skip_init(nn.Linear, n, m, dtype=tensor(W[l]).dtype)
        layer.weight = nn.Parameter(tensor(W[l]))
        layer.bias = nn.Parameter(tensor(b[l][:, 0]))
        found += [layer, activation(network.g[l])] if l < len(W) - 1 else [layer]
    return nn.Sequential(*found)


def activation(g: activations.Activation) -> nn.Module:
    """Return the module of an activation, PyTorch's own."""
    if type(g) not in ACTIVATIONS:
        raise ValueError(f"activation must be one that PyTorch has; got {type(g).__name__}.")
    return ACTIVATIONS[type(g)](g)


ACTIVATIONS: dict[type, Callable[[Any], nn.Module]] = {
    activations.Identity: lambda g: nn.Identity(),
    activations.Logistic: lambda g: nn.Sigmoid(),
    activations.Tanh: lambda g: nn.Tanh(),
    activations.Relu: lambda g: nn.ReLU(),
    activations.LeakyRelu: lambda g: nn.LeakyReLU(0.01),
    activations.Elu: lambda g: nn.ELU(g.r) if g.c == 1.0 else Scaled(g.c, nn.ELU(g.r)),
    # Beyond its threshold PyTorch takes softplus(z) = z; at 20 that is off by 2e-9.
    activations.Softplus: lambda g: nn.Softplus(threshold=40.0),
    activations.Gelu: lambda g: nn.GELU(),
    activations.Silu: lambda g: nn.SiLU(),
    activations.Mish: lambda g: nn.Mish(),
}


def tensor(values: Any) -> Any:
    """Return a copy as a tensor."""
    return torch.tensor(np.ascontiguousarray(values))


def keep(module: nn.Module, **values: Any) -> None:
    """Have a module hold arrays, or None, that are moved with it and not trained."""
    for name, value in values.items():
        module.register_buffer(name, None if value is None else tensor(value))
