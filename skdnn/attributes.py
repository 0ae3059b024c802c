"""What a fitted estimator holds besides its parameters, described once for all three."""

from __future__ import annotations

# name: (type, description)
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
