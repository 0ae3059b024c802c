"""The parts of a fitted model as PyTorch modules, which :func:`skdnn.torch.to_module` imports."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from skdnn import model
from skdnn.columns import Columns
from skdnn.core import activations
from skdnn.core.network import Network
from skdnn.encodings import HEIGHT, Ramps
from skdnn.inputs import FAR, FARTHEST, Inputs
from skdnn.targets import Classes, Targets


class Model(nn.Module):
    """X -> y, in the user's units: `skdnn.model.Model` as a module."""

    def __init__(self, of: model.Model, keepdim: bool) -> None:
        super().__init__()
        self.columns: Columns = of.inputs.columns
        self.inputs: Encoding = Encoding(of.inputs)
        self.networks: Any = nn.ModuleList(layers(network) for network in of.networks)
        self.targets: Decoding = Decoding(of.targets, keepdim)

    def rows(self, X: Any) -> Any:
        """Return a table as a tensor of rows: of categories the numbers of their levels."""
        return torch.tensor(self.columns.read(X, "X"), dtype=self.networks[0][0].weight.dtype)

    def forward(self, X: Any) -> Any:
        """Return predictions of rows."""
        A = self.inputs(X)
        return self.targets(sum(network(A) for network in self.networks) / len(self.networks))


class Encoding(nn.Module):
    """X in the networks' coordinates: scaled numbers, gaps, means, ramps and levels."""

    def __init__(self, inputs: Inputs) -> None:
        super().__init__()
        self.clips: bool = inputs.clips
        self.numeric: list[int] = inputs.columns.numeric
        self.gaps: list[int] = list(inputs.gaps)
        self.is_plain: bool = inputs.expansion is None and not self.gaps and not inputs.categories
        keep(self, center=inputs.center, scale=inputs.scale, fill=inputs.fill)
        self.ramps: Any = RampsOf(inputs.ramps) if inputs.ramps.columns else None
        categories = zip(inputs.categories, inputs.columns.categorical, strict=True)
        parts = [(of.means is None, LevelsOf(of.rows, j, inputs.dtype)) for of, j in categories]
        self.means: Any = nn.ModuleList(part for is_hot, part in parts if not is_hot)
        self.hot: Any = nn.ModuleList(part for is_hot, part in parts if is_hot)

    def forward(self, X: Any) -> Any:
        """Return f(X); of X the categories are numbers of levels, and NaN is missing."""
        x = X[:, self.numeric]
        missing = torch.isnan(x)
        x = torch.where(missing, torch.zeros_like(x) if self.fill is None else self.fill, x)
        scaled = self._scaled(x)
        if self.is_plain:
            return scaled
        parts = [scaled, missing[:, self.gaps].to(X.dtype)]
        parts += [means(X) for means in self.means]
        parts += [self.ramps(x)] if self.ramps is not None else []
        A = torch.cat(parts + [levels(X) for levels in self.hot], dim=1)
        return A if A.shape[1] else X.new_zeros(len(X), 1)  # where nothing tells rows apart

    def _scaled(self, x: Any) -> Any:
        if self.center is None:
            return x
        limit = FAR if self.clips else FARTHEST
        z = torch.clamp((x - self.center) / self.scale, -limit, limit)
        return z / torch.sqrt(1.0 + (z / 3.0) ** 2) if self.clips else z


class RampsOf(nn.Module):
    """The ramps of numbers."""

    def __init__(self, ramps: Ramps) -> None:
        super().__init__()
        of, units, feet, widths = ramps.edges
        low, high = ramps.limits
        self.of: list[int] = of.tolist()
        keep(self, factors=2.0**units, feet=feet, widths=widths, low=low, high=high)

    def forward(self, x: Any) -> Any:
        """Return all ramps of numbers without gaps."""
        heights = (x[:, self.of] * self.factors - self.feet) / self.widths
        return HEIGHT * torch.clamp(heights, self.low, self.high).to(x.dtype)


class LevelsOf(nn.Module):
    """The columns that a category becomes: a row of a table for each level."""

    def __init__(self, table: Any, column: int, dtype: Any) -> None:
        super().__init__()
        self.column: int = column
        keep(self, table=table.astype(dtype))

    def forward(self, X: Any) -> Any:
        """Return them by the numbers of levels; the table's last rows: missing, not known."""
        n, number = len(self.table) - 2, X[:, self.column]
        index = torch.where(torch.isnan(number), n, number).long()
        return self.table[torch.where((index < 0) | (index > n), n + 1, index)]


class Decoding(nn.Module):
    """Predictions from raw outputs."""

    def __init__(self, targets: Targets, keepdim: bool) -> None:
        super().__init__()
        self.keepdim = keepdim
        self.is_exp: bool = targets.loss.out_activation == "exp"
        self.decides: bool = isinstance(targets, Classes) and targets.n_outputs == 2
        self.sorts: bool = bool(targets.loss.levels)
        keep(self, **{name: getattr(targets, name, None) for name in ("center", "scale")})

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
