"""All that scikit-learn's MLPClassifier and MLPRegressor have: parameters, attributes, methods."""

import inspect
from itertools import pairwise

import numpy as np
import pytest
from scipy.special import expit
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

from skdnn import DNNBinaryClassifier, DNNClassifier, DNNRegressor
from tests.cases import CASES, SCORE, UNCONVERGED, X, plain, slope_of, weights_of

pytestmark = UNCONVERGED

PAIRS = [
    (MLPRegressor, DNNRegressor),
    (MLPClassifier, DNNBinaryClassifier),
    (MLPClassifier, DNNClassifier),
]
SOLVERS = ["sgd", "adam", "lbfgs"]
LABELS = (SCORE > 0).astype(int)


def parameters_of(function):
    return [p for p in inspect.signature(function).parameters.values() if p.name != "self"]


# The constructor


@pytest.mark.parametrize(("Theirs", "Ours"), PAIRS)
def test_every_parameter_is_there_with_the_incumbents_value_in_plain(Theirs, Ours):
    ours, theirs = Ours.plain().get_params(), Theirs().get_params()
    assert {name: ours[name] for name in theirs} == theirs


@pytest.mark.parametrize(("Theirs", "Ours"), PAIRS)
def test_parameters_may_be_given_by_position_as_before(Theirs, Ours):
    def by_position(Estimator):
        parameters = parameters_of(Estimator.__init__)
        return [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]

    assert by_position(Ours) == by_position(Theirs)


# At the edges of what the incumbent accepts, and away from its defaults.
ACCEPTED = [
    *({"hidden_layer_sizes": sizes} for sizes in (3, (), [], (3, 2), [3], np.array([3, 2]))),
    *({"activation": name} for name in ("identity", "logistic", "tanh", "relu")),
    {"alpha": 0},
    {"alpha": 1},
    {"batch_size": 1},
    *({"learning_rate": name} for name in ("constant", "invscaling", "adaptive")),
    {"learning_rate_init": 1},
    {"power_t": 0},
    {"power_t": 1.5},
    {"shuffle": False},
    {"random_state": np.random.RandomState(0)},
    {"tol": 0},
    {"verbose": 0},
    {"warm_start": True},
    {"momentum": 0},
    {"momentum": 1},
    {"nesterovs_momentum": False},
    {"early_stopping": True},
    {"validation_fraction": 0.0},
    {"validation_fraction": 0.5},
    {"beta_1": 0},
    {"beta_2": 0},
    {"epsilon": 1e-3},
    {"n_iter_no_change": 1},
    {"n_iter_no_change": np.inf},
    {"max_fun": 1},
]


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize(
    "params", ACCEPTED, ids=lambda params: str(params)[1:-1].split(" at 0x")[0]
)
def test_what_the_incumbent_accepts_is_accepted_by_every_solver(solver, params):
    for Theirs, Ours in PAIRS:
        for Estimator in (Theirs, Ours.plain):
            kept = {"learning_rate_init": 1e-4, "max_iter": 2, "solver": solver, **params}
            Estimator(**kept).fit(X / 10, LABELS)


# What each solver has no use for.
UNUSED = {
    "sgd": {"beta_1": 0.5, "beta_2": 0.5, "epsilon": 0.1, "power_t": 2.0, "max_fun": 1},
    "adam": {"momentum": 0.1, "nesterovs_momentum": False, "power_t": 2.0, "max_fun": 1},
    "lbfgs": {
        "batch_size": 7,
        "learning_rate": "adaptive",
        "learning_rate_init": 0.5,
        "power_t": 2.0,
        "shuffle": False,
        "momentum": 0.1,
        "nesterovs_momentum": False,
        "early_stopping": True,
        "validation_fraction": 0.5,
        "beta_1": 0.5,
        "beta_2": 0.5,
        "epsilon": 0.1,
        "n_iter_no_change": 1,
    },
}


@pytest.mark.parametrize(
    ("solver", "name"), [(solver, name) for solver in SOLVERS for name in UNUSED[solver]]
)
def test_a_parameter_that_a_solver_has_no_use_for_changes_nothing(solver, name):
    given = {name: UNUSED[solver][name]}
    with_it, without = (
        plain("regressor", solver=solver, max_iter=5, **params).fit(X, SCORE)
        for params in (given, {})
    )
    assert np.array_equal(weights_of(with_it), weights_of(without))


# Each parameter changes what it says


@pytest.mark.parametrize("solver", [*SOLVERS, "gd"])
def test_poisson_predicts_what_is_positive(solver):
    y = CASES["poisson"].y
    model = plain("poisson", solver=solver, max_iter=50).fit(X, y)
    assert model.out_activation_ == "exp"
    assert model.predict(X).min() > 0


def test_poisson_learns_a_logarithmic_mean():
    y = np.exp(1.0 + X @ [0.5, -0.5, 0.2, 0.0])
    model = plain("poisson", hidden_layer_sizes=(), solver="lbfgs", alpha=0, tol=1e-9).fit(X, y)
    assert model.coefs_[0][:, 0] == pytest.approx([0.5, -0.5, 0.2, 0.0], abs=1e-5)
    assert model.intercepts_[0][0] == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize(
    ("given", "hidden"), [((), []), (7, [7]), ((7,), [7]), ([3, 2], [3, 2]), ((2, 3, 4), [2, 3, 4])]
)
def test_hidden_layer_sizes_gives_the_layers(given, hidden):
    model = plain("two_outputs", hidden_layer_sizes=given, max_iter=1).fit(
        X, CASES["two_outputs"].y
    )
    sizes = [4, *hidden, 2]
    assert [c.shape for c in model.coefs_] == [*pairwise(sizes)]
    assert [b.shape for b in model.intercepts_] == [(n,) for n in sizes[1:]]
    assert model.n_layers_ == len(sizes)


def network_of(model, g, X):
    """Return the raw outputs of the weights that a fitted estimator shows."""
    A = X
    for W, b in zip(model.coefs_[:-1], model.intercepts_[:-1], strict=True):
        A = g(A @ W + b)
    return A @ model.coefs_[-1] + model.intercepts_[-1]


@pytest.mark.parametrize(
    ("activation", "g"),
    {
        "identity": lambda z: z,
        "logistic": expit,
        "tanh": np.tanh,
        "relu": lambda z: np.maximum(z, 0),
    }.items(),
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_activation_is_the_function_of_the_hidden_layers(activation, g):
    model = plain("regressor", hidden_layer_sizes=(5, 4), activation=activation, max_iter=9)
    ours = model.fit(X, SCORE).predict(X)
    assert ours == pytest.approx(network_of(model, g, X)[:, 0], rel=1e-12)


def test_sgd_without_momentum_steps_down_the_gradient():
    model = plain("regressor", solver="sgd", momentum=0.0, batch_size=60, max_iter=1).fit(X, SCORE)
    before, slope = weights_of(model), slope_of(model, X, SCORE)
    step = weights_of(model.partial_fit(X, SCORE)) - before
    assert step == pytest.approx(-0.001 * slope, rel=1e-9, abs=1e-15)


def test_lbfgs_ends_where_the_gradient_is_below_tol():
    for tol in (1e-1, 1e-4, 1e-7):
        model = plain("binary", hidden_layer_sizes=(), solver="lbfgs", alpha=1.0, tol=tol)
        y = CASES["binary"].y
        assert tol / 1000 < np.abs(slope_of(model.fit(X, y), X, y)).max() <= tol


def test_alpha_is_the_strength_of_the_penalty_in_the_loss():
    with_it, without = (
        plain("regressor", alpha=alpha, learning_rate_init=1e-12, max_iter=1).fit(X, SCORE)
        for alpha in (3.0, 0.0)
    )
    squares = sum(np.sum(W**2) for W in with_it.coefs_)
    assert with_it.loss_ - without.loss_ == pytest.approx(3.0 / (2 * 60) * squares, rel=1e-6)


@pytest.mark.parametrize("solver", SOLVERS)
def test_alpha_keeps_weights_small(solver):
    params = {"solver": solver, "learning_rate_init": 0.01}
    weak, strong = (plain("regressor", alpha=a, **params).fit(X, SCORE) for a in (1e-4, 100))
    assert sum(np.sum(W**2) for W in strong.coefs_) < 0.5 * sum(np.sum(W**2) for W in weak.coefs_)


@pytest.mark.parametrize(("n", "automatic"), [(60, 60), (250, 200)])
def test_batch_size_auto_is_200_rows_or_all(n, automatic):
    X_n, y_n = np.resize(X, (n, 4)), np.resize(SCORE, n)
    models = [plain("regressor", batch_size=b, max_iter=3) for b in ("auto", automatic)]
    ours, theirs = (weights_of(model.fit(X_n, y_n)) for model in models)
    assert np.array_equal(ours, theirs)


def test_a_batch_size_beyond_the_rows_warns_and_is_all_of_them():
    with pytest.warns(UserWarning, match="batch_size=61 is more than the 60 training rows"):
        beyond = plain("regressor", batch_size=61, max_iter=3).fit(X, SCORE)
    assert np.array_equal(
        weights_of(beyond), weights_of(plain("regressor", batch_size=60, max_iter=3).fit(X, SCORE))
    )


def test_learning_rate_init_is_the_length_of_a_step():
    start = plain("regressor", solver="sgd", momentum=0.0, max_iter=1).fit(X, SCORE)
    steps = []
    for rate in (0.001, 0.003):
        model = plain("regressor", solver="sgd", momentum=0.0, max_iter=1).fit(X, SCORE)
        model.set_params(learning_rate_init=rate).partial_fit(X, SCORE)
        steps.append(weights_of(model) - weights_of(start))
    assert steps[1] == pytest.approx(3 * steps[0], rel=1e-9, abs=1e-15)


@pytest.mark.parametrize("solver", SOLVERS)
def test_max_iter_is_the_most_epochs_and_to_need_more_warns(solver):
    model = plain("regressor", solver=solver, max_iter=7)
    with pytest.warns(ConvergenceWarning, match="max_iter=7"):
        model.fit(X, SCORE)
    assert model.n_iter_ == len(model.loss_curve_) == 7


def test_shuffle_false_takes_the_rows_as_they_come():
    params = {"solver": "sgd", "shuffle": False, "alpha": 0.0, "batch_size": 20}
    in_one = plain("regressor", **params).partial_fit(X, SCORE)
    in_three = plain("regressor", **params)
    for start in (0, 20, 40):
        rows = slice(start, start + 20)
        in_three.partial_fit(X[rows], SCORE[rows])
    assert weights_of(in_one) == pytest.approx(weights_of(in_three), rel=1e-12)


def test_shuffle_draws_the_rows_in_another_order():
    kept, drawn = (
        plain("regressor", shuffle=shuffle, batch_size=20, max_iter=1).fit(X, SCORE)
        for shuffle in (False, True)
    )
    assert not np.array_equal(weights_of(kept), weights_of(drawn))


def test_random_state_fixes_everything_drawn():
    def fit(random_state):
        params = {"batch_size": 20, "early_stopping": True, "max_iter": 5}
        return weights_of(plain("multiclass", **params, random_state=random_state).fit(
            X, CASES["multiclass"].y
        ))  # fmt: skip

    assert np.array_equal(fit(1), fit(1))
    assert np.array_equal(fit(np.random.RandomState(1)), fit(np.random.RandomState(1)))
    assert not np.array_equal(fit(1), fit(2))
    assert not np.array_equal(fit(None), fit(None))
    generator = np.random.RandomState(1)
    assert not np.array_equal(fit(generator), fit(generator))


def test_tol_is_what_an_epoch_must_improve_by():
    epochs = [
        plain("regressor", tol=tol, learning_rate_init=0.02).fit(X, SCORE).n_iter_
        for tol in (1e9, 1e-2, 0)
    ]
    assert epochs[0] == 11 < epochs[1] < epochs[2] == 200


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_momentum_and_nesterovs_momentum_make_the_step(momentum, nesterov):
    params = {"momentum": momentum, "nesterovs_momentum": nesterov, "learning_rate_init": 0.01}
    model = plain("regressor", solver="sgd", batch_size=60, max_iter=1, **params).fit(X, SCORE)
    v = 0.0
    for _ in range(3):
        before, g = weights_of(model), slope_of(model, X, SCORE)
        v = momentum * v - 0.01 * g
        expected = momentum * v - 0.01 * g if nesterov else v
        step = weights_of(model.partial_fit(X, SCORE)) - before
        assert step == pytest.approx(expected, rel=1e-9, abs=1e-15)


@pytest.mark.parametrize(
    "changed", [{}, {"beta_1": 0.5}, {"beta_2": 0.5}, {"epsilon": 0.1}], ids=str
)
def test_beta_1_beta_2_and_epsilon_make_the_step_of_adam(changed):
    params = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8, **changed}
    b1, b2, epsilon = params.values()
    model = plain("regressor", solver="adam", batch_size=60, max_iter=1, **params).fit(X, SCORE)
    m = v = 0.0
    for t in range(1, 4):
        before, g = weights_of(model), slope_of(model, X, SCORE)
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        # Algorithm 1 of the paper; the incumbent adds epsilon before it corrects v.
        expected = -0.001 * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + epsilon)
        step = weights_of(model.partial_fit(X, SCORE)) - before
        assert step == pytest.approx(expected, rel=1e-9, abs=1e-15)


def test_early_stopping_scores_rows_held_out():
    for name, case in CASES.items():
        model = plain(name, early_stopping=True, max_iter=5).fit(X, case.y)
        assert len(model.validation_scores_) == model.n_iter_
        assert model.best_validation_score_ == max(model.validation_scores_)
        assert model.best_loss_ is None


def test_without_early_stopping_there_are_no_validation_scores():
    model = plain("multiclass", max_iter=5).fit(X, CASES["multiclass"].y)
    assert model.validation_scores_ is None
    assert model.best_validation_score_ is None
    assert model.best_loss_ == min(model.loss_curve_)


class Spy:
    """A scorer that keeps what it was given."""

    def __init__(self):
        self.seen = []

    def __call__(self, estimator, X, y, sample_weight=None):
        self.seen.append((X, y, sample_weight))
        return estimator.score(X, y, sample_weight=sample_weight)


@pytest.mark.parametrize(("fraction", "held_out"), [(0.1, 6), (0.11, 7), (0.25, 15), (0.5, 30)])
def test_validation_fraction_is_the_share_held_out(fraction, held_out):
    spy = Spy()
    params = {"early_stopping": True, "validation_fraction": fraction, "max_iter": 1}
    plain("regressor", scoring=spy, **params).fit(X, SCORE)
    assert len(spy.seen[0][1]) == held_out


@pytest.mark.parametrize("n_iter_no_change", [1, 5])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_n_iter_no_change_epochs_without_improvement_end_the_fit(early_stopping, n_iter_no_change):
    # The first epoch counts as an improvement, whatever its loss.
    params = {"early_stopping": early_stopping, "tol": 1e9, "n_iter_no_change": n_iter_no_change}
    assert plain("regressor", **params).fit(X, SCORE).n_iter_ == 1 + n_iter_no_change


def test_max_fun_ends_lbfgs_with_a_warning():
    model = plain("regressor", solver="lbfgs", max_fun=10, max_iter=1000)
    with pytest.warns(ConvergenceWarning, match="max_fun=10"):
        model.fit(X, SCORE)
    assert model.n_iter_ < 12


# Attributes and methods

# What scikit-learn documents for both; `classes_` besides for classifiers.
ATTRIBUTES = [
    *("best_loss_", "best_validation_score_", "coefs_", "intercepts_", "loss_", "loss_curve_"),
    *("n_features_in_", "n_iter_", "n_layers_", "n_outputs_", "out_activation_", "t_"),
    "validation_scores_",
]


def fit_both(name, **params):
    """Return the incumbent and ours, fitted to the case with the same parameters."""
    case = CASES[name]
    Theirs = MLPRegressor if case.Estimator is DNNRegressor else MLPClassifier
    kept = {"hidden_layer_sizes": (5,), "max_iter": 3, "random_state": 0, **params}
    if name == "poisson":
        kept["loss"] = "poisson"
    return Theirs(**kept).fit(X, case.y), case.Estimator.plain(**kept).fit(X, case.y)


@pytest.mark.parametrize("name", CASES)
def test_the_list_of_attributes_holds_all_that_the_incumbent_sets(name):
    theirs, _ = fit_both(name)
    public = {a for a in vars(theirs) if a.endswith("_") and not a.startswith("_")}
    assert public - {"classes_"} <= set(ATTRIBUTES)


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("name", CASES)
def test_every_attribute_is_there_for_every_solver_in_the_type_it_had(name, solver, early_stopping):
    # The incumbent has some of them for sgd and adam only; ours have one meaning for all.
    theirs, _ = fit_both(name, early_stopping=early_stopping and solver != "lbfgs")
    _, ours = fit_both(name, solver=solver, early_stopping=early_stopping)
    for attribute in ATTRIBUTES:
        expected, got = getattr(theirs, attribute), getattr(ours, attribute)
        kind = float if isinstance(expected, float) else type(expected)
        assert isinstance(got, kind), attribute
        if isinstance(got, list):
            kind = type(expected[0]) if isinstance(expected[0], np.ndarray) else float
            assert all(isinstance(item, kind) for item in got), attribute


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("name", [name for name in CASES if name != "two_classes"])
def test_weights_have_the_shapes_they_had(name, solver):
    theirs, ours = fit_both(name, solver=solver)
    for attribute in ("coefs_", "intercepts_"):
        shapes = [[a.shape for a in getattr(model, attribute)] for model in (ours, theirs)]
        assert shapes[0] == shapes[1]
    for attribute in ("n_layers_", "n_outputs_", "out_activation_", "n_iter_", "n_features_in_"):
        assert getattr(ours, attribute) == getattr(theirs, attribute)


def test_two_classes_have_a_softmax_output_of_two_in_dnn_classifier():
    _, ours = fit_both("two_classes")
    assert (ours.out_activation_, ours.n_outputs_, ours.coefs_[-1].shape) == ("softmax", 2, (5, 2))


@pytest.mark.parametrize("name", CASES)
def test_predictions_have_the_shape_and_type_they_had(name):
    theirs, ours = fit_both(name)
    for method in ("predict", "predict_proba", "predict_log_proba"):
        if hasattr(theirs, method):
            expected, got = getattr(theirs, method)(X), getattr(ours, method)(X)
            assert (got.shape, got.dtype) == (expected.shape, expected.dtype)
    if hasattr(theirs, "classes_"):
        assert np.array_equal(ours.classes_, theirs.classes_)
        assert ours.classes_.dtype == theirs.classes_.dtype


@pytest.mark.filterwarnings("ignore:A column-vector y was passed")
def test_a_column_of_targets_is_a_vector_as_it_was():
    for Theirs, Ours in PAIRS:
        y = LABELS[:, None]
        theirs, ours = (E(max_iter=2).fit(X, y).predict(X) for E in (Theirs, Ours.plain))
        assert ours.shape == theirs.shape == (60,)


@pytest.mark.parametrize(("Theirs", "Ours"), PAIRS)
def test_every_method_is_there_and_takes_its_arguments_in_the_same_places(Theirs, Ours):
    def public(Estimator):
        return {n: f for n, f in inspect.getmembers(Estimator, callable) if not n.startswith("_")}

    ours, theirs = public(Ours), public(Theirs)
    assert set(theirs) <= set(ours)
    for name in set(theirs) - {"set_params"}:
        expected = [p.name for p in parameters_of(theirs[name])]
        got = [p.name for p in parameters_of(ours[name])]
        if name.endswith("_request"):  # made by scikit-learn, in the order of the alphabet
            assert set(expected) <= set(got)
        else:
            assert got[: len(expected)] == expected, name


@pytest.mark.parametrize("name", ["binary", "multilabel", "two_classes", "multiclass"])
def test_decision_function_decides(name):
    model = plain(name, max_iter=20, learning_rate_init=0.05).fit(X, CASES[name].y)
    z, predicted = model.decision_function(X), model.predict(X)
    if name == "multilabel":
        assert np.array_equal(predicted, z > 0)
    elif z.ndim == 1:
        assert np.array_equal(predicted, model.classes_[(z > 0).astype(int)])
    else:
        assert np.array_equal(predicted, model.classes_[z.argmax(axis=1)])


@pytest.mark.parametrize("name", ["binary", "multilabel", "two_classes"])
def test_decision_function_is_the_log_odds(name):
    model = plain(name, max_iter=5).fit(X, CASES[name].y)
    p = model.predict_proba(X)
    p = p if name == "multilabel" else p[:, 1]
    assert model.decision_function(X) == pytest.approx(np.log(p / (1 - p)), abs=1e-12)


def test_a_minimum_is_the_incumbents():
    # The same objective: without a hidden layer it is convex, and its minimum one.
    params = {"hidden_layer_sizes": (), "solver": "lbfgs", "alpha": 1.0, "tol": 1e-9}
    for name in ("regressor", "binary", "multilabel", "multiclass", "poisson"):
        theirs, ours = fit_both(name, max_iter=5000, **params)
        assert ours.loss_ == pytest.approx(theirs.loss_, rel=1e-8)
        assert ours.coefs_[0] == pytest.approx(theirs.coefs_[0], abs=1e-3)
