"""The fits that versions.py compares: what is fitted to which data, and how."""

# mypy: ignore-errors
from __future__ import annotations

from functools import partial
from itertools import product
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array
from sklearn.base import is_classifier
from sklearn.utils import check_random_state, gen_batches

import skdnn

MODELS = {
    "regression": skdnn.DNNRegressor,
    "binary": skdnn.DNNBinaryClassifier,
    "classes": skdnn.DNNClassifier,
    "targets": skdnn.DNNRegressor,
    "counts": skdnn.DNNRegressor,
    "labels": skdnn.DNNBinaryClassifier,
}
SMALL = dict(hidden_layer_sizes=(12, 7), max_iter=20, learning_rate_init=0.01, batch_size=50)
ATTRIBUTES = (
    *("loss_", "loss_curve_", "validation_loss_curve_", "validation_scores_", "best_loss_"),
    *("best_validation_score_", "best_n_iter_", "n_iter_", "t_", "learning_rate_curve_"),
)
OUTPUTS = ("predict", "predict_proba", "predict_log_proba", "decision_function")


def draw(words):
    """Return what to fit, by the names of fit's arguments, and rows to predict."""
    rng = np.random.default_rng(0)
    n, columns = (3000, 60) if "many" in words else (40 if "few" in words else 240, 8)
    Z = rng.standard_normal((n + 160, columns))
    X = Z * np.linspace(0.5, 20.0, columns) + 1.0
    z = 2.0 * Z[:, 0] * Z[:, 1] + np.sin(3.0 * Z[:, 2]) + 0.5 * rng.standard_normal(len(Z))
    y = {
        "regression": 50.0 + 10.0 * z,
        "binary": z > 0,
        "classes": np.array(["high", "low", "middle"])[np.digitize(z, [-1.0, 1.0])],
        "targets": np.column_stack([50.0 + 10.0 * z, Z[:, 3] - z]),
        "counts": rng.poisson(np.exp(0.5 * np.clip(z, -4.0, 4.0))),
        "labels": np.column_stack([z > 0, Z[:, 3] > 0.5, Z[:, 4] > z]).astype(int),
    }[words[0]]
    w = rng.integers(0, 3, len(X)) * rng.uniform(0.5, 2.0, len(X))
    if "csr" in words:
        X = csr_array(np.where(rng.random(X.shape) < 0.3, X, 0.0))
    if "float32" in words:
        X = X.astype(np.float32)
    arrays = {"X": X, "y": y, **({"sample_weight": w} if "weights" in words else {})}
    rows = {name: a[:n] for name, a in arrays.items()}
    if "val" in words:
        rows |= {f"{name}_val": a[n : n + 80] for name, a in arrays.items()}
    return rows, X[n + 80 :]


def record(model, X):
    """Return by name what a fitted estimator shows of itself, and what it says of X."""
    found = {}
    networks = getattr(model, "estimators_", [model])
    for i, network in enumerate(networks):
        prefix = f"estimators_[{i}]." if len(networks) > 1 else ""
        for name in "weights_", "biases_":
            for l, array in enumerate(getattr(network, name), start=1):
                found[f"{prefix}{name}[{l}]"] = array
        found |= {prefix + name: getattr(network, name, None) for name in ATTRIBUTES}
    for name in OUTPUTS:
        if hasattr(model, name):
            found[name] = getattr(model, name)(X)
            found[f"{name} of one row"] = getattr(model, name)(X[:1])
    return {name: np.array([] if value is None else value) for name, value in found.items()}


# What may be done with an estimator and rows. What is returned is compared too.


def fit(model, rows):
    """Fit once."""
    model.fit(**rows)


def again(model, rows, times=2, **params):
    """Fit several times, with other parameters from the second on."""
    model.fit(**rows).set_params(**params)
    for _ in range(times - 1):
        model.fit(**rows)


def partial_fit(model, rows, after_fit=False):
    """Go four times over three parts of the rows."""
    if after_fit:
        model.fit(**rows)
    classes = {"classes": np.unique(rows["y"])} if is_classifier(model) else {}
    for _ in range(4):
        for part in gen_batches(len(rows["y"]), 80):
            model.partial_fit(**{name: a[part] for name, a in rows.items()}, **classes)


def edit(model, rows):
    """Fit, set other weights, and fit again."""
    model.fit(**rows)
    model.weights_ = [0.5 * W for W in model.weights_]
    model.fit(**rows)


class Crash(Exception):
    """What a callback raises."""


class Watch:
    """A callback that predicts when tasks end, and may end the fit, or crash, at one."""

    def __init__(self, X, at=0, name="epoch", crashes=False):
        self.X, self.at, self.name, self.crashes = X, at, name, crashes
        self.seen, self.given, self.count = [], [], 0

    def setup(self, estimator, context): ...

    def teardown(self, estimator, context): ...

    def on_fit_task_begin(self, estimator, context): ...

    def on_fit_task_end(
        self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None
    ):
        output = "predict_proba" if is_classifier(estimator) else "predict"
        self.seen.append(getattr(fitted_estimator, output)(self.X))
        w = (metadata or {}).get("sample_weight", [])
        place = [context.task_id, context.max_subtasks or 0, fitted_estimator.n_iter_]
        self.given.append([*place, len(y), X.sum(), np.sum(w)])
        self.count += context.task_name == self.name
        ends = context.task_name == self.name and self.count == self.at
        if ends and self.crashes:
            raise Crash
        return ends


def watch(model, rows, beside=(), **when):
    """Fit with a callback that records, and stops the fit `when` it is told to."""
    callback = Watch(rows["X"][:20], **when)
    model.set_callbacks(*beside, callback).fit(**rows)
    return {"seen": np.array(callback.seen), "given": np.array(callback.given)}


def save(model, rows):
    """Fit with a checkpoint, then again from the complete file."""
    model.set_callbacks(skdnn.Checkpoint("file", every=3)).fit(**rows)
    first = {f"first {name}": value for name, value in record(model, rows["X"]).items()}
    return first | watch(model, rows, beside=[skdnn.Checkpoint("file")])


def crash(model, rows, **when):
    """Fit with a checkpoint up to a crash, then again from the file."""
    checkpoint = skdnn.Checkpoint("file", every=2)
    try:
        watch(model, rows, beside=[checkpoint], crashes=True, **when)
    except Crash:
        return watch(model, rows, beside=[checkpoint])
    raise RuntimeError("The fit was over before the crash.")


class Case:
    """A fit to be compared: a task, some words, and what is done with which parameters.

    Parameters
    ----------
    words : str
        A task (a key of `MODELS`), and any of: defaults (else `plain`, small), weights,
        val, csr, float32, few, many (rows).
    how : callable, default=fit
        Called with the estimator and the arguments of fit.
    **params
        Parameters of the estimator.
    """

    def __init__(self, words, how=fit, **params):
        self.words, self.how, self.params = words.split(), how, params

    @property
    def name(self):
        """The words, the parameters and what is done, joined by hyphens."""
        function, when = getattr(self.how, "func", self.how), getattr(self.how, "keywords", {})
        done = [] if self.how is fit else [function.__name__]
        changed = [f"{k}={getattr(v, '__name__', v)}" for k, v in {**self.params, **when}.items()]
        return "-".join([*self.words, *done, *changed]).replace(" ", "").replace("'", "")

    def run(self):
        """Return the records of the fit by name, or its error."""
        rows, X = draw(self.words)
        cls = MODELS[self.words[0]]
        make = cls if "defaults" in self.words else partial(cls.plain, **SMALL)
        Path("file").unlink(missing_ok=True)
        try:
            model = make(**{"random_state": 0, **self.params})
            return {**(self.how(model, rows) or {}), **record(model, X)}
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}"}


def sloping(p):
    """Return a learning rate's factor."""
    return 1.0 - 0.5 * p


SOLVERS = ("gd", "sgd", "adam", "lbfgs")
STYLES = ("defaults", "plain")
STOPS = {"early_stopping": True, "scoring": "loss"}
REFITS = {**STOPS, "refit": True, "solver": "sgd"}


def cases():
    """Yield every case."""
    for task, style in product(("regression", "binary", "classes"), STYLES):
        words = f"{task} {style}"
        yield from (Case(words, solver=solver) for solver in SOLVERS)
        yield Case(f"{words} weights")
        yield Case(f"{words} val", early_stopping=False)
        yield Case(f"{words} val weights", early_stopping=True)
        yield Case(f"{words} csr", scale_inputs=None)
        yield Case(f"{words} float32")
        yield Case(words, partial_fit)
        yield Case(words, watch)
    for schedule in "constant", "invscaling", "adaptive", "cosine", "one_cycle", "coslog4", sloping:
        rate = {"learning_rate": schedule, "tol": 0.01, "n_iter_no_change": 2}
        yield Case("classes plain", solver="sgd", **rate)
    for loss, style in product(("absolute_error", "huber", "quantile", "poisson"), STYLES):
        yield Case(f"counts {style}", loss=loss, quantile=0.7)
        yield Case(f"counts {style} weights", loss=loss, solver="lbfgs")
    for task, metric in {"regression": "r2", "binary": "roc_auc", "classes": "accuracy"}.items():
        for scoring in None, "loss", metric:
            yield Case(f"{task} plain", early_stopping=True, scoring=scoring, n_iter_no_change=5)
    for pair in "identity relu", "logistic tanh", "leaky_relu elu", "selu gelu", "silu mish":
        yield Case("classes plain", activation=pair.split())
    for family, shape in product(("glorot", "he", "lecun"), ("uniform", "normal")):
        yield Case("regression plain", initializer=f"{family}_{shape}", max_iter=3)
    for solver in SOLVERS:
        warm = {"solver": solver, "warm_start": True}
        yield Case("binary plain", **warm)
        yield Case("binary plain", partial(again, times=3), **warm)
        yield Case("regression plain", partial(again, max_iter=7), **warm)
    for task in MODELS:
        yield Case(f"{task} defaults", n_estimators=3, max_iter=20)
    for solver in "gd", "sgd", "adam":
        for how in save, partial(crash, at=5):
            yield Case("classes plain", how, solver=solver, average_decay=0.5, **STOPS)
    yield from OTHERS


OTHERS = [
    # One default changed
    Case("binary defaults", refit=False),
    Case("binary defaults", calibrate=False),
    Case("binary defaults", early_stopping=False),
    Case("binary defaults", precision=None),
    Case("binary defaults", scale_inputs="standard"),
    Case("binary defaults", scale_inputs="robust"),
    Case("regression defaults", scale_inputs=None),
    Case("regression defaults", layer_rates=None, learning_rate_init=0.005),
    Case("regression defaults", average_decay=0.0),
    Case("regression defaults", weight_decay=0.0),
    Case("classes defaults", scoring=None),
    Case("classes defaults", initializer="auto"),
    Case("classes defaults", max_iter=12),
    Case("classes defaults", max_iter=20, warmup=0.1),
    Case("classes defaults", max_iter=12, batch_size=17),
    Case("classes defaults", max_iter=12, random_state=check_random_state(3)),
    Case("binary defaults", max_iter=20, hidden_layer_sizes=30),
    Case("classes defaults", dropout=[0.1, 0.3]),
    Case("classes defaults", label_smoothing=0.1),
    Case("classes defaults", class_weight={"low": 3.0, "high": 0.5}),
    Case("binary defaults weights", class_weight="balanced"),
    # One thing added to the plain network
    Case("classes plain", dropout=0.2, solver="sgd"),
    Case("binary plain", warmup=0.3, clip_norm=0.1),
    Case("regression plain", clip_norm=1.0, solver="sgd"),
    Case("regression plain", weight_decay=0.1, layer_rates="fan_in", alpha=0.1),
    Case("binary plain", solver="sgd", nesterovs_momentum=False),
    Case("binary plain", solver="sgd", momentum=0.0, shuffle=False),
    Case("regression plain", beta_1=0.0, beta_2=0.99, epsilon=1e-3),
    Case("classes plain", tol=0.1, n_iter_no_change=3),
    Case("classes plain", hidden_layer_sizes=()),
    Case("regression plain", hidden_layer_sizes=[9, 8, 7], solver="lbfgs", max_fun=9),
    Case("binary plain", label_smoothing=0.1),
    Case("classes plain", calibrate=True, **STOPS),
    Case("binary plain weights", refit=True, **STOPS),
    Case("regression plain weights", precision="single"),
    Case("regression plain", scale_target=True, scale_inputs="robust"),
    Case("counts plain", scale_target=True, loss="poisson"),
    # Several targets or labels
    Case("targets defaults"),
    Case("targets plain weights", solver="lbfgs"),
    Case("targets plain", partial_fit, solver="gd"),
    Case("labels defaults"),
    Case("labels plain weights val", **STOPS),
    Case("labels plain", class_weight="balanced", label_smoothing=0.1),
    # Sparse rows, float32, few rows and many
    Case("classes defaults csr"),
    Case("regression plain csr float32 weights val", **STOPS),
    Case("binary plain csr", solver="lbfgs"),
    Case("binary plain csr", solver="sgd", dropout=0.2),
    Case("binary plain csr", partial_fit, solver="sgd"),
    Case("binary defaults csr", n_estimators=3, max_iter=15),
    Case("classes defaults csr many", max_iter=3),
    Case("binary defaults float32 weights val"),
    Case("classes plain float32 weights", solver="lbfgs"),
    Case("regression plain float32", partial_fit),
    Case("regression defaults many weights", max_iter=3),
    Case("regression defaults many", solver="lbfgs", max_iter=5),
    Case("classes plain many", solver="gd", max_iter=5),
    Case("binary plain many", batch_size=2000, max_iter=5),
    Case("regression defaults few"),
    Case("classes defaults few weights"),
    Case("binary plain few", batch_size=300),
    # Fits that go on
    Case("classes defaults weights", partial_fit),
    Case("classes plain", partial(partial_fit, after_fit=True)),
    Case("classes defaults", again, warm_start=True, max_iter=20),
    Case("classes plain val", partial(again, solver="sgd"), warm_start=True),
    Case("regression plain", again, warm_start=True, average_decay=0.9),
    Case("regression plain weights", again, warm_start=True, **REFITS),
    Case("classes plain", edit, warm_start=True),
    Case("regression plain", again),
    # Callbacks and checkpoints
    Case("regression plain", watch, solver="lbfgs"),
    Case("binary plain weights csr", watch, **REFITS),
    Case("binary plain", watch, n_estimators=3),
    Case("classes plain", partial(watch, at=4)),
    Case("classes plain", partial(watch, at=4), solver="lbfgs"),
    Case("classes defaults", partial(watch, at=9)),
    Case("classes defaults", partial(watch, at=3, name="refit epoch")),
    Case("regression defaults weights", save),
    Case("binary defaults", partial(crash, at=10)),
    Case("classes plain", partial(crash, at=3, name="refit epoch"), **REFITS),
    Case("regression plain val", partial(crash, at=9), dropout=0.2),
    Case("binary defaults csr", partial(crash, at=7), max_iter=12),
    # Several networks
    Case("regression plain weights", n_estimators=3, **REFITS),
    Case("classes plain val", n_estimators=3, **STOPS),
    Case("classes plain", n_estimators=3, solver="lbfgs"),
    # What fails
    Case("regression plain", solver="sgd", learning_rate_init=1e9),
    Case("regression plain", solver="lbfgs", dropout=0.1),
    Case("regression plain", partial_fit, n_estimators=2),
    Case("binary plain val", solver="lbfgs"),
]
