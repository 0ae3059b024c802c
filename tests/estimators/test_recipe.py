"""recipe_ says in plain values what a fit was to do and what it did."""

import json

import numpy as np
import pytest

import skdnn.fit.problem
from skdnn import DNNClassifier, DNNRegressor
from skdnn.fit.recipe import SUREST, batch_rows, n_epochs
from skdnn.parameters import SMOOTHING
from tests.cases import CASES, UNCONVERGED, Crash, X, classes_of, default, epoch, many, plain
from tests.cases import Spy as Stop

pytestmark = UNCONVERGED

FITS = {
    "defaults": lambda name: default(name).fit(*many(name)),
    "several": lambda name: default(name, n_estimators=3).fit(*many(name)),
    "plain": lambda name: plain(name, max_iter=3).fit(X, CASES[name].y),
    "lbfgs": lambda name: plain(name, solver="lbfgs", max_iter=3).fit(X, CASES[name].y),
    "callable": lambda name: plain(name, learning_rate=lambda p: 1 - p).fit(X, CASES[name].y),
    "numpy": lambda name: default(
        name, max_iter=np.int64(3), learning_rate_init=np.float32(0.01)
    ).fit(*many(name)),
    "partial fit": lambda name: default(name).partial_fit(*many(name), **classes_of(name)),
}
FIT = pytest.mark.parametrize("fit", FITS.values(), ids=FITS)
NAME = pytest.mark.parametrize("name", ["regressor", "binary", "multiclass"])


@NAME
@FIT
def test_asdict_comes_back_from_json_as_it_was(name, fit):
    did = fit(name).recipe_.asdict()
    assert json.loads(json.dumps(did)) == did


@NAME
@FIT
def test_asdict_says_all_that_repr_does(name, fit):
    recipe = fit(name).recipe_
    shown = repr(recipe)
    assert shown.startswith("Recipe(") and "\n" not in shown
    assert all(f"{key}={value!r}" in shown for key, value in recipe.asdict().items())
    assert len(recipe.asdict()) == shown.count("=")


@FIT
def test_asdict_is_a_copy(fit):
    model = fit("regressor")
    before = json.dumps(model.recipe_.asdict())
    model.recipe_.asdict()["ended"].append("never")
    assert json.dumps(model.recipe_.asdict()) == before


@FIT
def test_the_recipe_cannot_be_changed(fit):
    with pytest.raises(AttributeError):
        fit("regressor").recipe_.max_epochs = 7


def test_a_default_fit_is_told():
    X, y = many("multiclass", 100)
    model = DNNClassifier(random_state=0).fit(X, y)
    did = model.recipe_.asdict()
    factor, added = did.pop("calibration")[0], did.pop("intercepts")[0]
    stretch = did.pop("stretch")[0]
    assert did == {
        "n_rows": 100,
        "n_held_out": 20,
        "solver": "adam",
        "max_epochs": n_epochs(100),
        "batch_size": batch_rows(100),
        "learning_rate": "cosine",
        "learning_rate_init": 0.05,
        "precision": "float32",
        "early_stopping": True,
        "scoring": "loss",
        "calibrate": True,
        "refit": True,
        "n_estimators": 1,
        "label_smoothing": SMOOTHING,
        "seed": int(np.random.RandomState(0).randint(2**31 - 1)),
        "best_epoch": [model.best_n_iter_],
        "n_epochs": [model.n_iter_],
        "refitted": [True],
        "ended": [""],
    }
    assert 0.1 <= factor <= SUREST and len(added) == 3
    assert model.n_iter_ == round(stretch * model.best_n_iter_)


def test_a_plain_fit_is_told():
    did = DNNRegressor.plain(max_iter=4, random_state=3).fit(X, CASES["regressor"].y).recipe_
    assert did.asdict() == {
        "n_rows": 60,
        "n_held_out": 0,
        "solver": "adam",
        "max_epochs": 4,
        "batch_size": 60,
        "learning_rate": "constant",
        "learning_rate_init": 0.001,
        "precision": "float64",
        "early_stopping": False,
        "scoring": "",
        "calibrate": False,
        "refit": False,
        "n_estimators": 1,
        "label_smoothing": 0.0,
        "seed": int(np.random.RandomState(3).randint(2**31 - 1)),
        "best_epoch": [4],
        "n_epochs": [4],
        "refitted": [False],
        "stretch": [0.0],
        "calibration": [1.0],
        "intercepts": [[]],
        "ended": [""],
    }


@pytest.mark.parametrize("n_estimators", [1, 3])
def test_every_network_has_its_entry(n_estimators):
    model = default("multiclass", n_estimators=n_estimators).fit(*many("multiclass"))
    did = model.recipe_.asdict()
    lists = ("best_epoch", "n_epochs", "refitted", "stretch", "calibration", "intercepts", "ended")
    assert [len(did[name]) for name in lists] == [n_estimators] * len(lists)
    assert did["n_estimators"] == n_estimators
    if n_estimators > 1:
        assert did["best_epoch"] == model.best_n_iter_
        assert did["n_epochs"] == [len(curve) for curve in model.loss_curve_]


def test_the_recipe_of_one_of_several_networks_is_of_that_alone():
    model = default("multiclass", n_estimators=3).fit(*many("multiclass"))
    for i, member in enumerate(model.estimators_):
        did, all_did = member.recipe_.asdict(), model.recipe_.asdict()
        assert did["n_estimators"] == 1
        assert did["calibration"] == [all_did["calibration"][i]]
        assert did["best_epoch"] == [all_did["best_epoch"][i]] == [member.best_n_iter_]


def test_rows_of_weight_zero_are_no_rows():
    X, y = many("regressor", 140)
    w = (np.arange(140) < 100).astype(float)
    did = DNNRegressor(random_state=0, max_iter=2).fit(X, y, w).recipe_
    assert (did.n_rows, did.n_held_out) == (100, 20)


def test_own_validation_rows_are_not_held_out():
    X, y = many("regressor")
    did = default("regressor").fit(X, y, X_val=X[:30], y_val=y[:30]).recipe_
    assert (did.early_stopping, did.n_held_out, did.refit, did.refitted) == (
        True,
        0,
        False,
        [False],
    )


@pytest.mark.parametrize("given, trained", [(np.float64, "float32"), (np.float32, "float32")])
def test_the_type_that_is_trained_in_is_told(given, trained):
    X, y = many("regressor")
    assert default("regressor").fit(X.astype(given), y).recipe_.precision == trained
    assert default("regressor", precision=None).fit(X, y).recipe_.precision == "float64"


ENDS = {
    "converged": dict(tol=1e9, n_iter_no_change=2, max_iter=20),
    "": dict(max_iter=3),
}


@pytest.mark.parametrize("end", ENDS)
def test_why_a_fit_ended_is_told(end):
    model = plain("regressor", **ENDS[end]).fit(X, CASES["regressor"].y)
    assert model.recipe_.ended == [end]


def test_a_stop_by_a_callback_is_told():
    model = plain("regressor").set_callbacks(Stop(epoch(2))).fit(X, CASES["regressor"].y)
    assert model.recipe_.ended == ["stopped"]


def test_an_interrupt_is_told():
    def answer(context):
        if epoch(2)(context):
            raise KeyboardInterrupt

    model = plain("regressor").set_callbacks(Stop(answer))
    with pytest.warns(UserWarning, match="interrupted"):
        model.fit(X, CASES["regressor"].y)
    assert model.recipe_.ended == ["interrupted"]


def test_there_is_no_recipe_before_a_fit():
    assert not hasattr(plain("regressor"), "recipe_")
    failing = plain("regressor").set_callbacks(Stop(lambda context: exec("raise Crash", globals())))
    with pytest.raises(Crash):
        failing.fit(X, CASES["regressor"].y)
    assert not hasattr(failing, "recipe_")


def test_intercepts_of_many_outputs_are_found_by_some_rows(monkeypatch):
    def mean_shares(most):
        monkeypatch.setattr(skdnn.fit.problem, "MOST_OUTPUTS", most)
        rng = np.random.default_rng(0)
        x = rng.normal(size=(4000, 2))
        y = np.digitize(x[:, 0] + rng.normal(size=4000), [-2.5, 1.0, 2.0])
        model = DNNClassifier(hidden_layer_sizes=(8,), max_iter=5, random_state=0).fit(x, y)
        return model.recipe_.intercepts[0], model.predict_proba(x).mean(axis=0), np.bincount(y)

    (by_all, all_shares, counts), (by_some, some_shares, _) = map(mean_shares, (1 << 24, 1))
    assert by_some != by_all
    assert all_shares == pytest.approx(counts / 4000, abs=2e-3)
    assert some_shares == pytest.approx(counts / 4000, abs=2e-2)
