"""No option is passed over in silence: it acts, is refused, or its docstring says otherwise."""

import inspect
import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.utils._param_validation import InvalidParameterError

from skdnn import DNNBinaryClassifier, DNNClassifier, DNNRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

ESTIMATORS = [DNNRegressor, DNNBinaryClassifier, DNNClassifier]
EACH = pytest.mark.parametrize("Estimator", ESTIMATORS)
RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(200, 3))
SCORE = ROWS[:, 0] + 0.5 * RNG.normal(size=200)


def data(Estimator, n):
    """Return n rows to train on and 40 others to validate on, as `fit` takes them."""
    y = SCORE if Estimator is DNNRegressor else (SCORE > 0).astype(int)
    return {"X": ROWS[:n], "y": y[:n], "X_val": ROWS[-40:], "y_val": y[-40:]}


def fitted(Estimator, n=100, **params):
    params = {"hidden_layer_sizes": (4,), "max_iter": 5, "random_state": 0, **params}
    return Estimator(**params).fit(**data(Estimator, n))


def weights(model):
    return np.concatenate([np.ravel(a) for a in (*model.coefs_, *model.intercepts_)])


# Rows to validate on


@EACH
@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize("n", [4, 20, 63, 64, 100])
def test_who_gives_rows_to_validate_on_has_them_decide_however_few_there_are(Estimator, solver, n):
    model = fitted(Estimator, n, solver=solver)
    assert model.recipe_.early_stopping
    assert len(model.validation_scores_) == len(model.validation_loss_curve_) > 0
    assert model.best_validation_score_ == max(model.validation_scores_)


@EACH
@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize("n", [20, 100])
def test_beside_them_auto_is_True(Estimator, solver, n):
    params = {"solver": solver, "max_iter": 100, "learning_rate": "constant"}
    auto, true = (fitted(Estimator, n, early_stopping=e, **params) for e in ("auto", True))
    assert np.array_equal(weights(auto), weights(true))


@EACH
@pytest.mark.parametrize("params", [{"early_stopping": False}, {"solver": "gd"}], ids=str)
@pytest.mark.parametrize("n", [20, 100])
def test_otherwise_they_are_recorded_and_nothing_more(Estimator, params, n):
    model = fitted(Estimator, n, **params)
    rows = {name: value for name, value in data(Estimator, n).items() if name in "Xy"}
    alone = clone(model).fit(**rows)
    assert model.validation_scores_ is None and len(model.validation_loss_curve_) == 5
    assert np.array_equal(weights(model), weights(alone))


@EACH
def test_the_docstrings_say_what_rows_to_validate_on_do(Estimator):
    said = " ".join(Estimator.__doc__.split())
    assert "True for 'sgd' and 'adam' from 64 rows on, or if X_val is given" in said
    assert "unless ``early_stopping=False``" in " ".join(Estimator.fit.__doc__.split())


@EACH
@pytest.mark.parametrize("weigh", [np.ones(40), np.zeros(40), 1.0])
def test_validation_weights_alone_are_refused(Estimator, weigh):
    rows = {**data(Estimator, 100), "X_val": None, "y_val": None}
    with pytest.raises(ValueError, match=r"sample_weight_val .* X_val is None"):
        Estimator(max_iter=1).fit(**rows, sample_weight_val=weigh)


# partial_fit


def in_part(Estimator, **params):
    rows = data(Estimator, 100)
    classes = {} if Estimator is DNNRegressor else {"classes": [0, 1]}
    return Estimator(hidden_layer_sizes=(4,), random_state=0, **params).partial_fit(
        rows["X"], rows["y"], **classes
    )


@EACH
@pytest.mark.parametrize("true", [True, np.True_, np.bool_(1)])
def test_partial_fit_refuses_early_stopping_however_true_is_written(Estimator, true):
    with pytest.raises(ValueError, match="partial_fit does not support early_stopping=True"):
        in_part(Estimator, early_stopping=true)


@EACH
@pytest.mark.parametrize("off", ["auto", np.str_("auto"), False, np.False_])
def test_partial_fit_takes_early_stopping_that_is_off_or_auto(Estimator, off):
    assert in_part(Estimator, early_stopping=off).n_iter_ == 1


@EACH
@pytest.mark.parametrize(
    "schedule", ["constant", "cosine", "adaptive", "invscaling", "inverse_sqrt", "auto"]
)
def test_partial_fit_has_the_rates_that_its_docstring_names(Estimator, schedule):
    model = in_part(Estimator, learning_rate=schedule, solver="sgd")
    for _ in range(2):
        model.partial_fit(*(data(Estimator, 100)[name] for name in "Xy"))
    falls = np.diff(model.learning_rate_curve_) < 0
    assert falls.all() if schedule in ("invscaling", "inverse_sqrt", "auto") else not falls.any()
    said = " ".join(Estimator.__doc__.split())
    assert "In `partial_fit` all are constant but 'invscaling' and 'inverse_sqrt'" in said
    assert "and 'inverse_sqrt' in `partial_fit`" in said
    said = " ".join(Estimator.partial_fit.__doc__.split())
    assert "at a rate that knows no horizon, as `learning_rate` says" in said


# tol


@EACH
def test_tol_does_nothing_at_the_defaults_and_the_docstring_says_so(Estimator):
    small, large = (fitted(Estimator, tol=tol, max_iter="auto") for tol in (0.0, 1e3))
    assert np.array_equal(weights(small), weights(large))
    said = " ".join(Estimator.__doc__.split("\ntol : ")[1].split("\nverbose : ")[0].split())
    assert "It does nothing where `n_iter_no_change` is 'auto'" in said
    assert said.endswith("as at the defaults.")


@EACH
@pytest.mark.parametrize(
    "params",
    [
        {"solver": "lbfgs", "max_iter": 100},
        {"n_iter_no_change": 3, "max_iter": 50},
        {"learning_rate": "adaptive", "early_stopping": True, "max_iter": 120},
        {"learning_rate": "constant", "early_stopping": False, "max_iter": 50},
        {"learning_rate": "adaptive", "max_iter": 300, "solver": "sgd"},
    ],
    ids=str,
)
def test_tol_ends_a_fit_where_the_docstring_says(Estimator, params):
    rows = {name: value for name, value in data(Estimator, 100).items() if name in "Xy"}
    small, large = (
        Estimator(hidden_layer_sizes=(4,), random_state=0, refit=False, tol=tol).set_params(
            **params
        )
        if params.get("solver") != "lbfgs"
        else Estimator(hidden_layer_sizes=(4,), random_state=0, tol=tol, **params)
        for tol in (0.0, 1e3)
    )
    assert large.fit(**rows).n_iter_ < small.fit(**rows).n_iter_


# A subclass with a constructor of its own


class Sparse(DNNClassifier):
    """Has two of the parameters."""

    def __init__(self, alpha=1e-4, solver="lbfgs"):
        super().__init__(alpha=alpha, solver=solver, hidden_layer_sizes=(3,))


class ByPosition(DNNClassifier):
    """Passes by position, with a default of its own."""

    def __init__(self, hidden_layer_sizes=(3,), activation="tanh", max_iter=4):
        super().__init__(hidden_layer_sizes, activation, max_iter=max_iter)


class WithMore(DNNClassifier):
    """Has a parameter that its base has not."""

    def __init__(self, width=3, depth=1, random_state=None):
        super().__init__(max_iter=4, random_state=random_state)
        self.width = width
        self.depth = depth

    def fit(self, X, y, **params):
        self.hidden_layer_sizes = (self.width,) * self.depth
        return super().fit(X, y, **params)


class Empty(DNNClassifier):
    """Has no parameters."""

    def __init__(self):
        super().__init__(hidden_layer_sizes=(3,), max_iter=4)


class OnItsOwn(DNNClassifier):
    """Does not call the constructor of its base."""

    def __init__(self, max_iter=4):
        self.max_iter = max_iter


class Several(DNNClassifier):
    """Fixes the number of networks."""

    def __init__(self, max_iter=4):
        super().__init__(hidden_layer_sizes=(3,), max_iter=max_iter, n_estimators=2)


class Inherited(DNNClassifier):
    """Has the constructor of its base."""


class Twice(Sparse):
    """Is a subclass of a subclass."""

    def __init__(self, alpha=0.1):
        super().__init__(alpha=alpha, solver="adam")


class OfRegression(DNNRegressor):
    """Is of another estimator."""

    def __init__(self, loss="huber", max_iter=4):
        super().__init__(loss, (3,), max_iter=max_iter)


class OfTwo(DNNBinaryClassifier):
    """Is of the third."""

    def __init__(self, *, max_iter=4, label_smoothing=0.1):
        super().__init__((3,), max_iter=max_iter, label_smoothing=label_smoothing)


SUBCLASSES = [Sparse, ByPosition, WithMore, Empty, OnItsOwn, Several, Inherited, Twice,
              OfRegression, OfTwo]  # fmt: skip
EACH_SUBCLASS = pytest.mark.parametrize("Subclass", SUBCLASSES)
X, Y = ROWS[:100], (SCORE[:100] > 0).astype(int)


@EACH_SUBCLASS
def test_a_subclass_is_fitted_cloned_and_pickled(Subclass):
    model = clone(Subclass()).fit(X, Y)
    assert np.array_equal(pickle.loads(pickle.dumps(model)).predict(X), model.predict(X))
    assert model.score(X, Y) == model.score(X, Y)


@EACH_SUBCLASS
def test_a_subclass_is_plain_in_the_parameters_that_it_has(Subclass):
    own = inspect.signature(Subclass).parameters
    base = next(E for E in ESTIMATORS if issubclass(Subclass, E))
    plain = Subclass.plain().get_params()
    known = base.plain().get_params()
    assert list(plain) == sorted(own)
    assert {n: v for n, v in plain.items() if n in known} == {
        n: known[n] for n in own if n in known
    }


@EACH_SUBCLASS
def test_plain_takes_the_parameters_that_a_subclass_has(Subclass):
    given = {name: 7 for name in inspect.signature(Subclass).parameters if name == "max_iter"}
    assert {name: Subclass.plain(**given).get_params()[name] for name in given} == given
    with pytest.raises(TypeError, match="unexpected keyword argument 'momentun'"):
        Subclass.plain(momentun=0.1)


@EACH_SUBCLASS
def test_a_subclass_is_gone_on_with(Subclass):
    model = Subclass()
    if not hasattr(model, "partial_fit"):
        assert model.solver == "lbfgs" or model.n_estimators > 1
        return
    classes = {} if isinstance(model, DNNRegressor) else {"classes": [0, 1]}
    assert model.partial_fit(X, Y, **classes).partial_fit(X, Y).t_ == 2 * len(X)


@EACH_SUBCLASS
@pytest.mark.parametrize(
    "name, value, hint",
    [
        ("learning_rate", 0.01, "learning_rate_init"),
        ("solver", "Adam", "Did you mean 'adam'"),
        ("alpha", -1.0, "range"),
        ("scoring", "r3", "get_scorer_names"),
    ],
)
def test_what_a_subclass_has_set_is_held_to_its_rule(Subclass, name, value, hint):
    model = Subclass()
    setattr(model, name, value)
    expected = rf"'{name}' parameter of {Subclass.__name__} must be .*{hint}"
    with pytest.raises(InvalidParameterError, match=expected):
        model.fit(X, Y)


@EACH_SUBCLASS
def test_a_subclass_judges_by_any_score(Subclass):
    model = Subclass()
    if model.solver == "lbfgs":
        return
    model.scoring = "r2"
    model.fit(X, Y)
    assert np.shape(model.validation_scores_)[-1] > 0


def test_the_networks_of_a_subclass_stand_alone():
    model = Several().fit(X, Y)
    assert [type(one) for one in model.estimators_] == [Several, Several]
    for one in model.estimators_:
        assert one.n_estimators == 1 and len(one.coefs_) == 2
        assert one.predict_proba(X).shape == (100, 2)


# Comparing a number with "auto", which NumPy's first releases after 2.0 cannot


@EACH
@pytest.mark.parametrize("solver", ["gd", "sgd", "adam", "lbfgs"])
def test_no_parameter_is_compared_as_an_array(Estimator, solver, monkeypatch):
    compare = np.array_equal

    def arrays_alone(a, b, **kwargs):
        assert np.ndim(a) > 0 and np.ndim(b) > 0
        return compare(a, b, **kwargs)

    monkeypatch.setattr(np, "array_equal", arrays_alone)
    model = Estimator(hidden_layer_sizes=(3,), max_iter=2, solver=solver, warm_start=True)
    y = SCORE[:100] if Estimator is DNNRegressor else Y
    assert model.fit(X, y).fit(X, y).n_iter_ > 0


# What is written into the list of a network's arrays


@EACH
@pytest.mark.parametrize("name", ["coefs_", "intercepts_", "weights_", "biases_"])
@pytest.mark.parametrize("l", [0, 1, -1])
def test_an_array_that_is_put_into_a_list_of_them_is_the_networks(Estimator, name, l):
    model = fitted(Estimator, precision=None)
    put = np.full_like(getattr(model, name)[l], 0.25)
    before = model.predict(ROWS) if Estimator is DNNRegressor else model.predict_proba(ROWS)
    getattr(model, name)[l] = put
    after = model.predict(ROWS) if Estimator is DNNRegressor else model.predict_proba(ROWS)
    assert np.array_equal(getattr(model, name)[l], put)
    assert not np.array_equal(before, after)


@EACH
def test_an_array_of_another_shape_is_refused(Estimator):
    with pytest.raises(ValueError, match=r"shape|broadcast"):
        fitted(Estimator).coefs_[0] = np.ones((7, 7))
