"""What a fitted estimator holds besides its parameters, described once for all three."""

from __future__ import annotations

# name: (type, description)
ATTRIBUTES: dict[str, tuple[str, str]] = {
    "recipe_": (
        "Recipe",
        """\
What the fit did, every "auto" resolved: rows held out, the most epochs, batch, rate, precision,
stretch, calibration, whether it refitted. Its ``asdict()`` holds plain values.""",
    ),
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
        """\
The objective (mean loss and L2 term) at the final weights, exactly, in units of y. After
`partial_fit`, and where the user interrupted that, it is the last of ``loss_curve_``.""",
    ),
    "loss_curve_": (
        "list of float",
        """\
The objective at each epoch of the last run: of the refit, where there was one. At the epoch's
end for a full batch and 'lbfgs', exactly; for mini-batches its mean over the epoch's batches,
each before its step, weighted by `sample_weight`. In units of y. Of several networks this and
what follows is a list with an entry for each, and over warm starts it goes on.""",
    ),
    "search_loss_curve_": (
        "list of float or None",
        """\
The same of the run before the refit, which trained on all but the held-out rows and found the
best epoch; entry by entry beside `validation_loss_curve_`. None without a refit.""",
    ),
    "best_loss_": (
        "float or None",
        "The least entry of `loss_curve_`; None under early stopping.",
    ),
    "validation_loss_curve_": (
        "list of float or None",
        """\
The mean loss of the validation rows at each epoch's end, if there are any: of the run that
found the best epoch, not of a refit, which holds out none. Before calibration, so that under
`calibrate` its least entry is not what the best epoch is chosen by.""",
    ),
    "validation_scores_": (
        "list of float or None",
        """\
Their score at each epoch's end, under early stopping: what the best epoch is chosen by. With
the default `scoring` minus their loss, under `calibrate` after calibration. nan for an epoch of
an earlier call that had no score.""",
    ),
    "best_validation_score_": (
        "float or None",
        "The score of the best epoch of the last call, the largest of them.",
    ),
    "best_n_iter_": (
        "int",
        """\
The epoch that is the best under early stopping, counted in the last call's run that was
validated, whose weights are kept or whose number of epochs a refit takes; else the last.""",
    ),
    "learning_rate_curve_": (
        "list of float",
        "The learning rate at the first step of each epoch of `loss_curve_`; 'lbfgs' has none.",
    ),
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
