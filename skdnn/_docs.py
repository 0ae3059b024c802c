"""The parameters and attributes that the three estimators share, described once.

`documented` puts the descriptions into a class's docstring, in the order of its
signature and with the signature's own defaults, so that the two cannot differ.
"""

from __future__ import annotations

import inspect
from textwrap import indent
from typing import TypeVar

Estimator = TypeVar("Estimator", bound=type)

# name: (type, description). What a description says holds for every estimator.
PARAMETERS: dict[str, tuple[str, str]] = {
    "loss": (
        "{'squared_error', 'absolute_error', 'huber', 'quantile', 'poisson'}",
        """\
What is minimised: |o - y|^2 / 2 (the paper's L2 loss, equation (26)), |o - y|, the
Huber loss with `huber_delta`, the pinball loss of `quantile`, or half the Poisson
deviance, whose output activation is exp and whose y must be >= 0. Several targets
are summed.""",
    ),
    "hidden_layer_sizes": (
        "int or sequence of int",
        """\
n[1], ..., n[L-1]: the number of units of each hidden layer; an int is one layer, and
``()`` is none, a linear model.""",
    ),
    "activation": (
        "str or sequence of str",
        """\
g of the hidden layers, one name for all or one for each: 'identity', 'logistic' (or
'sigmoid'), 'tanh', 'relu', 'leaky_relu', 'elu', 'selu', 'gelu', 'silu', 'mish',
'softplus'. See :mod:`skdnn.activations`.""",
    ),
    "solver": (
        "{'gd', 'sgd', 'adam', 'lbfgs'}",
        """\
'gd' is the paper's gradient descent on the full batch, W <- W - rate dW; 'sgd' is
the same on mini-batches, with momentum; 'adam' that of Kingma and Ba (2015); 'lbfgs'
is SciPy's quasi-Newton method on the full batch. A parameter that scikit-learn's MLP
has too may be given to a solver that does not use it; any other must then be off.""",
    ),
    "alpha": (
        "float",
        """\
Strength of the L2 term: alpha / (2 W) times the sum of the squared weights is added
to the mean loss, W being the total sample weight. Biases are left out.""",
    ),
    "batch_size": (
        "int, 'auto' or 'sqrt'",
        """\
Rows in a mini-batch of 'sgd' and 'adam'; 'auto' is min(200, n_samples), and 'sqrt'
makes equal ones of at most 64 or about sqrt(n_samples) rows.""",
    ),
    "learning_rate": (
        "str or callable",
        """\
What `learning_rate_init` is multiplied by. With p in [0, 1] the progress through
`max_iter`: 'constant' 1; 'cosine' (1 + cos(pi p)) / 2; 'one_cycle' a rise over 0.3
and a fall to 0; 'coslog4' (1 - cos(2 pi log2(1 + 15 p))) / 2; a callable is called
with p. 'auto' is 'cosine' for 'sgd' and 'adam', 'constant' otherwise. 'invscaling'
divides by (rows seen + 1)^power_t; 'adaptive' divides by 5
whenever `n_iter_no_change` epochs bring no improvement, down to 1e-6.""",
    ),
    "learning_rate_init": (
        "float",
        """The learning rate, > 0, of all solvers but 'lbfgs'.""",
    ),
    "power_t": ("float", """The exponent of 'invscaling', >= 0."""),
    "max_iter": (
        "int or 'auto'",
        """\
The most epochs (passes over the rows) or, with 'lbfgs', iterations. 'auto' is 200 for
'gd', 'lbfgs' and rows that make one mini-batch, and otherwise the epochs that make
3,000 steps, but at least 16, and at most 60 unless they make fewer than 750 steps; a
`refit` may take up to 2.75 times as many.""",
    ),
    "shuffle": (
        "bool",
        """Whether each epoch takes the rows in a new order; a full batch never does.""",
    ),
    "random_state": (
        "int, RandomState instance or None",
        """\
Seeds the first weights, the order of rows, the held-out rows and dropout. An int
makes fits repeatable.""",
    ),
    "tol": (
        "float",
        """\
By how much the loss, or the validation score, has to improve for an epoch to count;
with 'lbfgs' also the largest entry of the gradient at which it stops.""",
    ),
    "verbose": ("bool or int", """Whether to print one line an epoch."""),
    "warm_start": (
        "bool",
        """\
Whether `fit` goes on from the weights and the optimiser's state of the last one, for
`max_iter` further epochs.""",
    ),
    "momentum": ("float", """Momentum of 'sgd', in [0, 1]."""),
    "nesterovs_momentum": ("bool", """Whether 'sgd' takes Nesterov's form of momentum."""),
    "early_stopping": (
        "bool or 'auto'",
        """\
Whether to hold out `validation_fraction` of the rows (unless X_val is given to
`fit`), stop when their score has not improved for `n_iter_no_change` epochs, and keep
the weights of the best epoch. 'auto' is True for 'sgd' and 'adam' from 64 rows on.""",
    ),
    "validation_fraction": (
        "float",
        """The share of rows that early stopping holds out, stratified by class.""",
    ),
    "beta_1": ("float", """Decay of Adam's average of gradients, in [0, 1)."""),
    "beta_2": ("float", """Decay of Adam's average of squared gradients, in [0, 1)."""),
    "epsilon": ("float", """Added to the denominator of Adam's step, > 0."""),
    "n_iter_no_change": (
        "int, inf or 'auto'",
        """\
How many epochs in a row without an improvement by `tol` end the fit. 'auto': under
early stopping it ends at 1.5 times the best epoch plus those of 50 steps; otherwise it
is inf with a schedule that ends at 0, and 10 without.""",
    ),
    "max_fun": ("int", """The most evaluations of the objective by 'lbfgs'."""),
    "initializer": (
        "str",
        """\
The first weights: 'glorot', 'he' or 'lecun', each with '_uniform' or '_normal'; 'auto'
chooses by activation (He's for relu and its kin, LeCun's for selu, Glorot's for the
others and the output layer), with biases of 0; 'spread' draws weights from N(0,
1 / n[l-1]) and biases from N(0, 1/4), and starts the output layer at 0.""",
    ),
    "layer_rates": (
        "{'auto', 'fan_in'} or None",
        """\
With 'fan_in' the learning rate of W[l] is divided by sqrt(n[l-1]), so that a step moves
the output by as much whatever the widths. 'auto' is 'fan_in' for 'adam' and None, one
rate for all parameters, for the other solvers.""",
    ),
    "calibrate": (
        "bool or 'auto'",
        """\
Whether early stopping is followed by a choice of the factor of the raw outputs that
minimises the loss of the held-out rows, at most 1; W[L] and b[L] are multiplied by it,
which leaves the predicted classes as they are. Guo et al. (2017). 'auto' is True for
'sgd' and 'adam'.""",
    ),
    "dropout": (
        "float or sequence of float",
        """\
The share of a hidden layer's units that each training step leaves out, one rate for
all layers or one for each, in [0, 1). What is kept is scaled up; predictions use all
units. Srivastava et al. (2014).""",
    ),
    "weight_decay": (
        "float or 'auto'",
        """\
Decoupled decay: before each step the weights, not the biases, are multiplied by
1 - rate * weight_decay. Loshchilov and Hutter (2019). 'auto' is 0.02 for 'sgd' and
'adam', 0 otherwise.""",
    ),
    "clip_norm": (
        "float or None",
        """The largest Euclidean norm of a step's gradient, all layers together.""",
    ),
    "average_decay": (
        "float or 'auto'",
        """\
With d > 0 the model is the exponential moving average of the weights after each
step, m <- d m + (1 - d) theta, divided by 1 - d^t as Adam's averages are. 'auto' is 0.99
for 'sgd' and 'adam', 0 otherwise.""",
    ),
    "warmup": (
        "float",
        """The share of `max_iter` over which the learning rate rises linearly from 0.""",
    ),
    "scoring": (
        "str, callable or None",
        """\
What early stopping maximises: None for the estimator's `score`, 'loss' for the
validation loss (minimised; under `calibrate` after calibration), or any scorer of
scikit-learn. 'auto' is 'loss'.""",
    ),
    "refit": (
        "bool or 'auto'",
        """\
Whether early stopping is followed by a fit on all rows, for as many epochs as were
the best. If `max_iter` is 'auto', `scoring` the loss and that fell by a twentieth since
half of these, it is for 1 + 1.75 best_n_iter_ / max_iter times as many, at as much
slower a pace of the schedule. Has no effect with X_val. 'auto' is True for 'sgd' and
'adam'.""",
    ),
    "scale_inputs": (
        "{'standard', 'clipped', 'robust'} or None",
        """\
How columns of X are scaled inside: to mean 0 and deviation 1; the same with smooth
clipping at 3, x / sqrt(1 + (x / 3)^2); or to median 0 and interquartile range 1 with
that clipping. A sparse X keeps its zeros, and is not clipped.""",
    ),
    "n_estimators": (
        "int",
        """\
With k > 1, k networks in the same coordinates, each from its own seed, which decides its
first weights and which rows it holds out to stop early. The mean of their raw outputs
predicts. They are ``estimators_``; `partial_fit`, `warm_start` and the attributes of a
single network, such as ``coefs_``, need k = 1.""",
    ),
    "precision": (
        "{'auto', 'single'} or None",
        """\
With 'single' a float64 X is trained on in float32, at about 0.6 of the time; the weights
that come out, and predictions, are float64 again. None trains in the type of X. 'auto'
is 'single' for 'sgd' and 'adam' from 64 rows on, where inputs and target are scaled
inside, and None otherwise and in `partial_fit`.""",
    ),
    "scale_target": (
        "bool",
        """\
Whether y is standardised inside (for 'poisson' divided by its mean), and predictions
brought back.""",
    ),
    "quantile": ("float", """The quantile that ``loss='quantile'`` estimates, in (0, 1)."""),
    "huber_delta": (
        "float",
        """\
Residuals beyond it count linearly under ``loss='huber'``; in units of y, or in
standard deviations of y with `scale_target`.""",
    ),
    "class_weight": (
        "dict, 'balanced' or None",
        """\
Multiplies the sample weights class by class; 'balanced' is n_samples / (n_classes *
weight of the class).""",
    ),
    "label_smoothing": (
        "float",
        """\
With s > 0 the target of a class is 1 - s plus an equal share of s, in [0, 1).""",
    ),
}

ATTRIBUTES: dict[str, tuple[str, str]] = {
    "estimators_": (
        "list of estimators",
        "The fitted networks, for `n_estimators` > 1: each an estimator by itself.",
    ),
    "weights_": (
        "list of ndarray",
        "W[1], ..., W[L] of the paper, W[l] of shape (n[l], n[l-1]). Settable.",
    ),
    "biases_": ("list of ndarray", "b[1], ..., b[L], b[l] of shape (n[l], 1). Settable."),
    "coefs_": (
        "list of ndarray",
        "The same weights as scikit-learn has them, of shapes (n[l-1], n[l]). Settable.",
    ),
    "intercepts_": ("list of ndarray", "The same biases, of shapes (n[l],). Settable."),
    "loss_": (
        "float",
        "The objective (mean loss and L2 term) at the final weights, exactly, in units of y.",
    ),
    "loss_curve_": (
        "list of float",
        """\
The objective at each epoch: at its end for a full batch and 'lbfgs', exactly; for
mini-batches its mean over the epoch's batches, each before its step, weighted by
`sample_weight`. In units of y.""",
    ),
    "best_loss_": ("float or None", "The least entry of it; None under early stopping."),
    "validation_loss_curve_": (
        "list of float or None",
        "The mean loss of the validation rows at each epoch's end, if there are any.",
    ),
    "validation_scores_": (
        "list of float or None",
        "Their score at each epoch's end, under early stopping.",
    ),
    "best_validation_score_": ("float or None", "The largest of these."),
    "best_n_iter_": (
        "int",
        "The epoch whose weights are kept: the best under early stopping, else the last.",
    ),
    "learning_rate_curve_": ("list of float", "The learning rate at each epoch's first step."),
    "n_iter_": (
        "int",
        "The number of epochs, or of iterations of 'lbfgs', of the last fit or refit.",
    ),
    "t_": ("int", "The number of training rows seen, over all epochs."),
    "n_layers_": ("int", "L + 1: the hidden layers, the input and the output."),
    "n_outputs_": ("int", "n[L], the number of output units."),
    "out_activation_": ("str", "The output activation."),
    "classes_": ("ndarray", "The class labels; label numbers for a multilabel y."),
    "n_features_in_": ("int", "The number of columns of X."),
    "feature_names_in_": ("ndarray of str", "Their names, if X had names."),
}


def documented(cls: Estimator) -> Estimator:
    """Fill ``{parameters}`` and ``{attributes}`` in the docstring of an estimator."""
    if cls.__doc__ is None:  # python -OO
        return cls
    signature = inspect.signature(cls)
    parameters = [
        _entry(name, f"{PARAMETERS[name][0]}, default={parameter.default!r}", PARAMETERS[name][1])
        for name, parameter in signature.parameters.items()
    ]
    attributes = [
        _entry(name, *description)
        for name, description in ATTRIBUTES.items()
        if name != "classes_" or "class_weight" in signature.parameters
    ]
    cls.__doc__ = inspect.cleandoc(cls.__doc__).format(
        parameters="\n".join(parameters), attributes="\n".join(attributes)
    )
    return cls


def _entry(name: str, kind: str, description: str) -> str:
    return f"{name} : {kind}\n{indent(description, '    ')}"
