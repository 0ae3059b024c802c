"""Fitted models as ONNX graphs, by skl2onnx; needs the `onnx` extra.

What stands in the graph is what ``predict`` does: the columns' change of coordinates, the layers
of every network, the mean of several, the output and its scale, or the labels. The operators
are described at https://onnx.ai/onnx/operators/.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray
from scipy.special import erfcx

from skdnn.core import activations
from skdnn.core.network import Network
from skdnn.encodings import HEIGHT, Ramps
from skdnn.estimators import DNNBinaryClassifier, DNNClassifier, DNNRegressor
from skdnn.inputs import FAR, FARTHEST, Inputs
from skdnn.model import Model
from skdnn.targets import Classes, LabelSets

__all__ = ["register"]

FLOAT, INT64, DOUBLE = 1, 7, 11  # of onnx.TensorProto, to cast to
OPTIONS: dict[str, list[Any]] = {
    "zipmap": [True, False, "columns"],
    "nocl": [True, False],
    "output_class_labels": [True, False],
    "raw_scores": [True, False],
}


def register() -> None:
    """Teach skl2onnx the three estimators.

    After it ``skl2onnx.to_onnx(model, X[:1])`` works for a fitted estimator, alone and within
    pipelines and scikit-learn's meta-estimators. Inputs of float64 make a graph in double
    precision, all others one in single. A classifier has the options of scikit-learn's own:
    ``zipmap`` and ``nocl``, ``output_class_labels``, and ``raw_scores`` for the raw outputs
    instead of the probabilities. To call it twice does no harm.

    Raises
    ------
    ImportError
        If skl2onnx is not installed.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skdnn import DNNClassifier
    >>> from skdnn.onnx import register
    >>> X, y = load_iris(return_X_y=True)
    >>> model = DNNClassifier(random_state=0).fit(X, y)
    >>> register()  # doctest: +SKIP
    >>> graph = skl2onnx.to_onnx(model, X[:1])  # doctest: +SKIP
    """
    try:
        update = import_module("skl2onnx").update_registered_converter
    except ImportError as error:
        raise ImportError("register needs skl2onnx: pip install 'skdnn[onnx]'.") from error
    update(DNNRegressor, "SkdnnDNNRegressor", _shape_of_numbers, _convert_regressor)
    for kind in (DNNBinaryClassifier, DNNClassifier):
        name = f"Skdnn{kind.__name__}"
        update(kind, name, _shape_of_labels, _convert_classifier, options=OPTIONS)


class Graph:
    """Makes nodes: ``graph.Add(x, 1.0)`` is x + 1 in the precision of the graph.

    Of the operator and the container that skl2onnx calls a converter with.
    """

    def __init__(self, operator: Any, container: Any) -> None:
        self.operator: Any = operator
        self.opset: int = container.target_opset
        self.dtype: Any = np.float64 if _is_double(operator) else np.float32

    def __getattr__(self, name: str) -> Any:
        """Return a function that makes nodes of one operator; numbers are constants."""
        make = getattr(import_module("skl2onnx.algebra.onnx_ops"), f"Onnx{name}")

        def node(*inputs: Any, **attributes: Any) -> Any:
            constant = [np.array([x], self.dtype) if isinstance(x, float) else x for x in inputs]
            return make(*constant, op_version=self.opset, **attributes)

        return node

    def floating(self, x: Any) -> Any:
        """Return a constant, or a node that casts, in the precision of the graph."""
        if isinstance(x, np.ndarray):
            return x.astype(self.dtype)
        return self.Cast(x, to=DOUBLE if self.dtype == np.float64 else FLOAT)

    def rows(self) -> Any:
        """Return X, (n, n_features), of however many inputs, all of numbers."""
        given = [self.floating(x) for x in self.operator.inputs]
        return given[0] if len(given) == 1 else self.Concat(*given, axis=1)

    def columns(self) -> list[Any]:
        """Return every column of X by itself, (n, 1), text as it is."""
        columns = []
        for given in self.operator.inputs:
            x = given if is_text(given) else self.floating(given)
            width = given.type.shape[1]
            columns += [x] if width == 1 else [self.taken(x, [k]) for k in range(width)]
        return columns

    def taken(self, x: Any, columns: Any) -> Any:
        """Return some columns of x."""
        return self.Gather(x, np.array(columns, np.int64), axis=1)

    def within(self, x: Any, low: Any, high: Any) -> Any:
        """Return x, held within limits."""
        return self.Max(self.Min(x, high), low)


def is_text(given: Any) -> bool:
    """Whether an input is of strings."""
    return isinstance(given.type, import_module("skl2onnx.common.data_types").StringTensorType)


def _raw_outputs(g: Graph, model: Model) -> Any:
    """Return the mean of the networks' raw outputs, (n, n_outputs)."""
    A = _encoded(g, model.inputs)
    each = [_forward(g, A, network) for network in model.networks]
    total = each[0]
    for Z in each[1:]:
        total = g.Add(total, Z)
    return total if len(each) == 1 else g.Div(total, float(len(each)))


def _encoded(g: Graph, inputs: Inputs) -> Any:
    """Return X in the networks' coordinates, as `Inputs.__call__` does."""
    if inputs.categories:
        columns = g.columns()
        numeric = [columns[j] for j in inputs.columns.numeric]
        x = g.Concat(*numeric, axis=1) if numeric else None
    else:
        columns, x = [], g.rows()
    scaled, gaps, ramps = (None, None, None) if x is None else _numbers(g, x, inputs)
    of = list(zip(inputs.categories, inputs.columns.categorical, strict=True))
    means, hot = (
        [
            _levels(g, columns[j], inputs.columns.levels[j] or [], one.rows)
            for one, j in of
            if one.columns(kind)
        ]
        for kind in (False, True)
    )
    parts = [part for part in (scaled, gaps, *means, ramps, *hot) if part is not None]
    if not parts:  # nothing tells rows apart
        return g.floating(g.ConstantOfShape(g.Shape(columns[0])))
    return parts[0] if len(parts) == 1 else g.Concat(*parts, axis=1)


def _numbers(g: Graph, x: Any, inputs: Inputs) -> tuple[Any, Any, Any]:
    """Return what becomes of numbers: scaled, where there are gaps, and ramps."""
    missing = g.IsNaN(x)
    fill = np.zeros(1) if inputs.fill is None else inputs.fill
    x = g.Where(missing, g.floating(fill[None]), x)
    gaps = g.taken(g.floating(missing), inputs.gaps) if inputs.gaps else None
    ramps = _ramps(g, x, inputs.ramps) if inputs.ramps.columns else None
    return _scaled(g, x, inputs), gaps, ramps


def _scaled(g: Graph, x: Any, inputs: Inputs) -> Any:
    if inputs.center is None or inputs.scale is None:
        return x
    z = g.Sub(x, g.floating(inputs.center[None]))
    z = g.Div(z, g.floating(inputs.scale[None]))
    limit = FAR if inputs.clips else FARTHEST
    z = g.within(z, -limit, limit)
    if not inputs.clips:
        return z
    third = g.Div(z, 3.0)
    return g.Div(z, g.Sqrt(g.Add(g.Mul(third, third), 1.0)))


def _ramps(g: Graph, x: Any, ramps: Ramps) -> Any:
    of, units, *edges = ramps.edges
    feet, widths, low, high = (g.floating(edge[None]) for edge in (*edges, *ramps.limits))
    heights = g.Mul(g.taken(x, of), g.floating(2.0 ** units[None]))
    heights = g.Div(g.Sub(heights, feet), widths)
    return g.Mul(g.within(heights, low, high), HEIGHT)


def _levels(g: Graph, x: Any, levels: list[Any], table: NDArray[Any]) -> Any:
    """Return the columns of a category, of which the table has a row for each level.

    Its last two are for what is missing, which is NaN or an empty text, and for what is none
    of the levels.
    """
    text = bool(levels) and isinstance(levels[0], str)
    known = np.array(levels)[None] if text else g.floating(np.array(levels, float)[None])
    at = g.floating(g.Equal(x, known))
    is_level = g.MatMul(at, g.floating(np.ones((len(levels), 1))))
    missing = g.Equal(x, np.array([[""]])) if text else g.IsNaN(x)
    missing = g.Max(g.Sub(g.floating(missing), is_level), 0.0)  # unless "" is a level
    unknown = g.Sub(g.Sub(np.ones((1, 1), g.dtype), is_level), missing)
    rows = [g.floating(part) for part in np.split(table, [len(levels), len(levels) + 1])]
    block = g.MatMul(at, rows[0])
    return g.Add(block, g.Add(g.MatMul(missing, rows[1]), g.MatMul(unknown, rows[2])))


def _forward(g: Graph, A: Any, network: Network) -> Any:
    """Return Z[L] of a network, samples in rows."""
    W, b, L = network.parameters.W, network.parameters.b, len(network.parameters.W) - 1
    for l in range(1, L + 1):
        A = g.Add(g.MatMul(A, g.floating(W[l].T)), g.floating(b[l].T))
        A = _activated(g, A, network.g[l]) if l < L else A
    return A


def _activated(g: Graph, z: Any, of: activations.Activation) -> Any:
    """Return an activation of z, of operators that there are in both precisions."""
    form = FORMS.get(type(of))
    if form is None:
        raise ValueError(
            f"activation must be one that has a form in ONNX; got {type(of).__name__}."
        )
    return form(g, z, of)


def _elu(g: Graph, z: Any, of: Any) -> Any:
    tail = g.Sub(g.Exp(g.Min(z, 0.0)), 1.0)
    return g.Add(g.Mul(g.Relu(z), float(of.c)), g.Mul(tail, float(of.c * of.r)))


def _gelu(g: Graph, z: Any, of: Any) -> Any:
    if g.dtype == np.float32:
        phi = g.Erf(g.Mul(z, 0.5**0.5))
        return g.Mul(g.Mul(z, 0.5), g.Add(phi, 1.0))
    # onnxruntime has Erf in single precision alone: z P(z) = max(z, 0) - |z| P(-|z|), and with
    # x = |z| / sqrt(2), t = 2 / (2 + x), P(-|z|) is e^-x^2 t h(2 t - 1) / 2, h a polynomial.
    size = g.Max(z, g.Neg(z))
    x = g.Mul(size, 0.5**0.5)
    t = g.Div(g.floating(np.array([2.0])), g.Add(x, 2.0))
    u, coefficients = g.Sub(g.Mul(t, 2.0), 1.0), _tail().tolist()
    h = g.Mul(u, coefficients.pop())
    while len(coefficients) > 1:
        h = g.Mul(g.Add(h, coefficients.pop()), u)
    h = g.Add(h, coefficients.pop())
    tail = g.Mul(g.Mul(g.Exp(g.Neg(g.Mul(x, x))), t), g.Mul(h, 0.5))
    return g.Sub(g.Relu(z), g.Mul(size, tail))


def _tail() -> NDArray[np.float64]:
    """Return the coefficients of h, h(2 t - 1) = e^x^2 erfc(x) / t, x = 2 / t - 2, for t in (0, 1].

    Interpolated at Chebyshev points, of which none is t = 0, to 6e-15 of h.
    """

    def h(u: Any) -> Any:
        t = (u + 1.0) / 2.0
        return erfcx(2.0 / t - 2.0) / t

    return chebyshev.cheb2poly(chebyshev.chebinterpolate(h, 24))


def _softplus(g: Graph, z: Any, of: Any) -> Any:
    # max(z, 0) - log(sigmoid(|z|))
    return g.Sub(g.Relu(z), g.Log(g.Sigmoid(g.Max(z, g.Neg(z)))))


FORMS: dict[type, Any] = {
    activations.Identity: lambda g, z, of: z,
    activations.Logistic: lambda g, z, of: g.Sigmoid(z),
    activations.Tanh: lambda g, z, of: g.Tanh(z),
    activations.Relu: lambda g, z, of: g.Relu(z),
    activations.LeakyRelu: lambda g, z, of: g.Max(z, g.Mul(z, 0.01)),
    activations.Elu: _elu,
    activations.Softplus: _softplus,
    activations.Gelu: _gelu,
    # onnxruntime 1.24 takes z sigmoid(z) for another operator, which it has not in double.
    activations.Silu: lambda g, z, of: g.Div(z, g.Add(g.Exp(g.Neg(z)), 1.0)),
    activations.Mish: lambda g, z, of: g.Mul(z, g.Tanh(_softplus(g, z, of))),
}


def _convert_regressor(scope: Any, operator: Any, container: Any) -> None:
    g, model = Graph(operator, container), operator.raw_operator._model
    y, targets = _raw_outputs(g, model), model.targets
    if targets.loss.out_activation == "exp":
        y = g.Exp(y)
    if targets.scale is not None:
        y = g.Mul(y, g.floating(targets.scale[None]))
        y = g.Add(y, g.floating(targets.center[None]))
    if targets.loss.levels:
        y = g.TopK(y, np.array([targets.n_outputs]), axis=1, largest=0, sorted=1)[0]
    g.Identity(y, output_names=operator.outputs[:1]).add_to(scope, container)


def _convert_classifier(scope: Any, operator: Any, container: Any) -> None:
    g, model = Graph(operator, container), operator.raw_operator._model
    targets, Z = model.targets, _raw_outputs(g, model)
    asked = container.get_options(operator.raw_operator, {"raw_scores": False})
    is_second = g.Cast(g.Greater(Z, 0.0), to=INT64)
    if isinstance(targets, LabelSets):
        label, scores, P = is_second, Z, g.Sigmoid(Z)
    elif isinstance(targets, Classes):
        label, scores, P = g.ArgMax(Z, axis=1, keepdims=0), Z, g.Softmax(Z, axis=1)
    else:
        label, scores = is_second, g.Concat(g.Neg(Z), Z, axis=1)
        P = g.Sigmoid(scores)
    if not isinstance(targets, LabelSets):
        number = g.Reshape(label, np.array([-1]))
        label = g.ArrayFeatureExtractor(_labels(operator), number)
        label = g.Reshape(label, np.array([-1]))
    g.Identity(label, output_names=operator.outputs[:1]).add_to(scope, container)
    found = scores if asked["raw_scores"] else P
    g.Identity(found, output_names=operator.outputs[1:]).add_to(scope, container)


def _labels(operator: Any) -> NDArray[Any]:
    """Return labels in one of the types that ONNX has for them, integers or text, or numbers."""
    model = operator.raw_operator
    values = np.array(model.classes_.tolist())
    if operator.scope_inst.get_options(model, {"nocl": False})["nocl"]:
        return np.arange(len(values))
    return values.astype(str if values.dtype.kind == "U" else np.int64)


def _is_double(operator: Any) -> bool:
    kind = import_module("skl2onnx.common.data_types").DoubleTensorType
    return any(isinstance(given.type, kind) for given in operator.inputs)


def _set_type(operator: Any, output: int, kind: str, shape: list[Any]) -> None:
    types = import_module("skl2onnx.common.data_types")
    operator.outputs[output].type = getattr(types, f"{kind}TensorType")(shape)


def _shape_of_numbers(operator: Any) -> None:
    n, m = operator.inputs[0].type.shape[0], operator.raw_operator.n_outputs_
    _set_type(operator, 0, "Double" if _is_double(operator) else "Float", [n, m])


def _shape_of_labels(operator: Any) -> None:
    n, targets = operator.inputs[0].type.shape[0], operator.raw_operator._model.targets
    m, is_set = len(targets.classes), isinstance(targets, LabelSets)
    kind = "Int64" if _labels(operator).dtype.kind == "i" else "String"
    _set_type(operator, 0, kind, [n, m] if is_set else [n])
    _set_type(operator, 1, "Double" if _is_double(operator) else "Float", [n, m])
