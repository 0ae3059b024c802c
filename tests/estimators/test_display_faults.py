"""The picture of a fit shows each of its runs, and the best epoch where it was chosen."""

import itertools
import pickle

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.model_selection import GridSearchCV, TunedThresholdClassifierCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdnn import DNNBinaryClassifier, DNNClassifier, DNNRegressor, LossCurveDisplay
from skdnn.display import COLORS

matplotlib.use("Agg")
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, y = load_breast_cancer(return_X_y=True)
X, y = StandardScaler().fit_transform(X)[:160], y[:160]
Xd, yd = load_diabetes(return_X_y=True)
Xd, yd = Xd[:160], yd[:160]
draw = LossCurveDisplay.from_estimator
ALL = ["training, refit", "training, search", "validation", "validation, calibrated"]


@pytest.fixture(autouse=True)
def no_figure_is_left():
    yield
    plt.close("all")


def unfitted(Estimator=DNNClassifier, **params):
    return Estimator(**{"hidden_layer_sizes": (8,), "max_iter": 15, "random_state": 0, **params})


def fitted(Estimator=DNNClassifier, **params):
    data = (Xd, yd) if Estimator is DNNRegressor else (X, y)
    return unfitted(Estimator, **params).fit(*data)


def legend(display):
    return [text.get_text() for text in display.ax_.get_legend().get_texts()]


def lines_of(display):
    """Return the lines by the kind that their labels name."""
    return {line.get_label().partition(", ")[2]: line for line in display.lines_}


def values(line):
    """Return the points of a line that are not gaps."""
    x, y = np.array(line.get_xdata(), float), np.array(line.get_ydata(), float)
    return x[~np.isnan(x)].tolist(), y[~np.isnan(x)].tolist()


def minus(scores):
    return [-score for score in scores]


def epochs(n):
    return list(range(1, n + 1))


# The runs of one fit


@pytest.mark.parametrize("Estimator", [DNNClassifier, DNNBinaryClassifier])
def test_of_a_default_classifier_both_runs_and_both_validation_curves_are_drawn(Estimator):
    model = fitted(Estimator)
    lines = lines_of(draw(model))
    drawn = {
        "training": model.loss_curve_,
        "training, search": model.search_loss_curve_,
        "validation": model.validation_loss_curve_,
        "validation, calibrated": minus(model.validation_scores_),
    }
    assert list(lines) == list(drawn)
    for kind, curve in drawn.items():
        assert values(lines[kind]) == (epochs(len(curve)), curve)


def test_of_a_default_regressor_the_validation_loss_decided():
    model = fitted(DNNRegressor)
    display = draw(model)
    assert legend(display)[:3] == ["training, refit", "training, search", "validation"]
    assert values(display.best_[0]) == ([model.best_n_iter_], [-model.best_validation_score_])


@pytest.mark.parametrize(
    "params, kinds",
    [
        ({}, ALL),
        ({"refit": False}, ["training", *ALL[2:]]),
        ({"calibrate": False}, ALL[:3]),
        ({"refit": False, "calibrate": False}, ["training", "validation"]),
        ({"scoring": "accuracy"}, ALL[:3]),
        ({"early_stopping": False}, ["training"]),
        ({"solver": "lbfgs"}, ["training"]),
        ({"solver": "gd", "learning_rate_init": 0.1}, ["training"]),
    ],
    ids=str,
)
def test_the_legend_names_what_was_run(params, kinds):
    assert [text for text in legend(draw(fitted(**params))) if "best" not in text] == kinds


@pytest.mark.parametrize("calibrate", [True, False])
def test_the_best_epoch_is_the_least_of_the_curve_that_it_is_marked_on(calibrate):
    model = fitted(calibrate=calibrate, n_iter_no_change=100, max_iter=40)
    display = draw(model)
    (x,), (value,) = values(display.best_[0])
    assert x == model.best_n_iter_ and value == min(values(display.lines_[-1])[1])
    assert value == -model.best_validation_score_


@pytest.mark.parametrize(
    "scoring, said",
    [("accuracy", "accuracy"), (None, "score"), (lambda e, X, y: e.score(X, y), "<lambda>")],
)
def test_a_best_epoch_that_no_loss_decided_says_what_did(scoring, said):
    model = fitted(scoring=scoring)
    display, best = draw(model), model.best_n_iter_
    assert legend(display)[-1] == f"best epoch by {said}: {best}"
    assert values(display.best_[0]) == ([best], [model.validation_loss_curve_[best - 1]])


def test_a_stronger_line_is_what_decided():
    lines = lines_of(draw(fitted()))
    widths = {kind: line.get_linewidth() for kind, line in lines.items()}
    assert widths["validation, calibrated"] > widths["validation"]
    assert widths["training"] > widths["training, search"]


# Warm starts


@pytest.mark.parametrize("n_calls", [1, 2, 3])
@pytest.mark.parametrize("params", [{}, {"refit": False}, {"calibrate": False}], ids=str)
@pytest.mark.parametrize("Estimator", [DNNRegressor, DNNClassifier])
def test_the_mark_is_where_the_last_call_chose_it_over_all_calls(Estimator, params, n_calls):
    if Estimator is DNNRegressor:
        params = {name: value for name, value in params.items() if name != "calibrate"}
    model = unfitted(Estimator, warm_start=True, **params)
    before = 0
    for _ in range(n_calls):
        before = len(getattr(model, "loss_curve_", []))
        model.fit(*((Xd, yd) if Estimator is DNNRegressor else (X, y)))
    (mark,) = draw(model).best_
    assert values(mark) == ([before + model.best_n_iter_], [-model.best_validation_score_])


def test_each_search_is_drawn_from_where_the_run_before_it_ended():
    model = unfitted(warm_start=True).fit(X, y)
    n_searched, n_refitted = len(model.search_loss_curve_), len(model.loss_curve_)
    model.fit(X, y)
    lines = lines_of(draw(model))
    again = len(model.search_loss_curve_) - n_searched
    x = [*epochs(n_searched), *(n_refitted + k for k in epochs(again))]
    assert values(lines["training, search"]) == (x, model.search_loss_curve_)
    assert values(lines["validation"]) == (x, model.validation_loss_curve_)
    assert values(lines["training"]) == (epochs(len(model.loss_curve_)), model.loss_curve_)


def test_there_is_no_line_from_one_search_to_the_next():
    model = unfitted(warm_start=True, max_iter=60).fit(X, y)
    assert len(model.search_loss_curve_) != len(model.loss_curve_)
    line = lines_of(draw(model.fit(X, y)))["validation"]
    assert np.isnan(line.get_xdata()).sum() == np.isnan(line.get_ydata()).sum() == 1


CALLS = {
    "validated": ({"early_stopping": False}, True),
    "stopped": ({"early_stopping": True, "refit": False}, False),
    "refitted": ({"early_stopping": True, "refit": True}, False),
    "plain": ({"early_stopping": False}, False),
    "iterated": ({"solver": "lbfgs", "early_stopping": False}, False),
    "partial": ({"early_stopping": "auto"}, False),
}


@pytest.mark.parametrize("calls", [*itertools.product(CALLS, repeat=2)], ids=" then ".join)
def test_whatever_the_calls_are_each_curve_is_drawn_over_its_own_epochs(calls):
    model = unfitted(warm_start=True)
    for kind in calls:
        params, validates = CALLS[kind]
        model.set_params(**{"refit": "auto", "solver": "adam", **params})
        if kind == "partial":
            model.partial_fit(X, y, classes=[0, 1])
            continue
        model.fit(X, y, **(dict(X_val=X[::4], y_val=y[::4]) if validates else {}))
    display = draw(model, learning_rate=True)
    display.figure_.canvas.draw()
    lines, n = lines_of(display), len(model.loss_curve_)
    assert values(lines["training"])[0] == epochs(n)
    if "validation" in lines:
        x, curve = values(lines["validation"])
        assert curve == model.validation_loss_curve_
        if calls[1] in ("validated", "stopped"):
            assert x[-model.n_iter_ :] == epochs(n)[-model.n_iter_ :]
    assert len(display.best_) == (calls[1] in ("stopped", "refitted"))


# Several networks


def test_several_networks_are_thin_lines_with_one_entry_in_the_legend():
    model = fitted(n_estimators=3)
    display = draw(model)
    marked = ", ".join(map(str, model.best_n_iter_))
    assert legend(display) == [*ALL, f"best epoch: {marked}"]
    assert len(display.lines_) == 3 * len(ALL) and len(display.best_) == 3
    assert {line.get_color() for line in display.lines_} == set(COLORS[:2])
    alone = draw(model.estimators_[0])
    assert display.lines_[0].get_linewidth() < alone.lines_[0].get_linewidth()


def test_the_curves_of_several_networks_are_those_of_each():
    model = fitted(n_estimators=3)
    display = draw(model)
    for i, one in enumerate(model.estimators_):
        alone = draw(one)
        for mine, its in zip(display.lines_[4 * i :], alone.lines_, strict=False):
            assert values(mine) == values(its)
        assert values(display.best_[i]) == values(alone.best_[0])


@pytest.mark.parametrize(
    "params", [{"early_stopping": False}, {"solver": "lbfgs"}, {"refit": False}], ids=str
)
def test_several_networks_are_drawn_whatever_they_have(params):
    model = fitted(n_estimators=2, **params)
    display = draw(model, learning_rate=True)
    display.figure_.canvas.draw()
    assert len(display.best_) == (2 if "refit" in params else 0)
    assert values(display.lines_[0])[1] == model.loss_curve_[0]


def test_several_networks_with_rows_to_validate_on_have_no_best_epoch():
    model = unfitted(n_estimators=2, early_stopping=False).fit(X, y, X_val=X[:9], y_val=y[:9])
    display = draw(model)
    assert len(display.lines_) == 4 and display.best_ == []


def test_several_networks_can_stand_beside_one():
    models = {"one": fitted(), "three": fitted(n_estimators=3)}
    display = LossCurveDisplay.from_estimators(models, learning_rate=True)
    assert [line.get_color() for line in display.lines_] == [COLORS[0]] * 4 + [COLORS[1]] * 12
    best = models["three"].best_n_iter_
    assert legend(display)[1] == f"three (best epoch: {', '.join(map(str, best))})"


# Others' estimators, and ours inside of others


@pytest.mark.parametrize("early_stopping", [False, True])
def test_scikit_learns_network_stands_beside_ours(early_stopping):
    theirs = MLPClassifier((4,), max_iter=12, early_stopping=early_stopping).fit(X, y)
    display = LossCurveDisplay.from_estimators([fitted(), theirs])
    assert values(display.lines_[-1])[1] == theirs.loss_curve_
    assert len(display.lines_) == 5 and len(display.best_) == 1


def test_a_network_that_knows_no_solver_counts_epochs():
    class Other:
        def fit(self):
            self.loss_curve_ = [3.0, 2.0]
            return self

        def get_params(self, deep=True):
            return {}

        def __sklearn_tags__(self):
            return DNNRegressor().__sklearn_tags__()

    assert draw(Other().fit()).ax_.get_xlabel() == "Epoch"


WRAPPED = {
    "pipeline": lambda: make_pipeline(StandardScaler(), unfitted()),
    "pipeline in a pipeline": lambda: make_pipeline(make_pipeline(unfitted())),
    "search": lambda: GridSearchCV(unfitted(), {"alpha": [0.1]}, cv=2),
    "search over a pipeline": lambda: GridSearchCV(
        make_pipeline(StandardScaler(), unfitted()), {"dnnclassifier__alpha": [0.1]}, cv=2
    ),
    "pipeline with a search": lambda: make_pipeline(
        StandardScaler(), GridSearchCV(unfitted(n_estimators=2), {"alpha": [0.1]}, cv=2)
    ),
    "threshold": lambda: TunedThresholdClassifierCV(unfitted(), cv=2),
    "transformed target": lambda: TransformedTargetRegressor(unfitted(DNNRegressor)),
}


@pytest.mark.parametrize("wrap", WRAPPED.values(), ids=WRAPPED)
def test_the_network_inside_of_another_estimator_is_drawn(wrap):
    display = draw(wrap().fit(X, y))
    assert display.names[0].startswith("DNN") and len(display.best_) >= 1


def test_a_model_out_of_a_pickle_is_drawn_the_same():
    model = unfitted(warm_start=True).fit(X, y).fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    for one, other in zip(draw(model).lines_, draw(again).lines_, strict=True):
        assert values(one) == values(other)


# Styles

ALIASES = {
    "lw": ("linewidth", 3.5),
    "ls": ("linestyle", ":"),
    "c": ("color", "green"),
    "ds": ("drawstyle", "steps"),
    "ms": ("markersize", 7.0),
    "mew": ("markeredgewidth", 2.0),
    "aa": ("antialiased", False),
}


@pytest.mark.parametrize("n_estimators", [1, 2])
@pytest.mark.parametrize("alias", ALIASES)
def test_short_names_are_as_matplotlib_has_them(alias, n_estimators):
    name, value = ALIASES[alias]
    model = fitted(n_estimators=n_estimators)
    short, long = draw(model, **{alias: value}), draw(model, **{name: value})
    for one, other in zip(short.lines_, long.lines_, strict=True):
        assert plt.getp(one, name) == plt.getp(other, name) == value


def test_a_name_and_its_short_form_together_are_refused():
    with pytest.raises(TypeError, match="aliases"):
        draw(fitted(), lw=2, linewidth=3)


def test_a_label_is_refused_by_name():
    with pytest.raises(TypeError, match="by name or names, not by label"):
        draw(fitted(), label="mine")


def test_the_legend_of_several_fits_shows_the_style_that_was_asked_for():
    models = [fitted(), fitted(alpha=1.0)]
    display = LossCurveDisplay.from_estimators(models, color="green", ls=":")
    handles = display.ax_.get_legend().get_lines()
    assert {to_hex(line.get_color()) for line in handles[:2]} == {to_hex("green")}
    assert {line.get_linestyle() for line in handles[2:-1]} == {":"}


def test_names_that_begin_alike_keep_their_own_best_epochs():
    models = {"a": fitted(), "a, best": fitted(random_state=3)}
    display = LossCurveDisplay.from_estimators(models)
    assert legend(display)[:2] == [
        f"{name} (best epoch: {model.best_n_iter_})" for name, model in models.items()
    ]


def test_what_has_no_learning_rate_has_no_axes_for_it():
    display = draw(fitted(solver="lbfgs"), learning_rate=True)
    assert display.learning_rate_ax_ is None and len(display.figure_.axes) == 1


def test_the_learning_rate_has_room_above_it_and_zero_below():
    display = draw(fitted(), learning_rate=True)
    bottom, top = display.learning_rate_ax_.get_ylim()
    assert bottom == 0 and top > 1.04 * max(display.learning_rate_lines_[0].get_ydata())


def test_a_display_can_be_made_of_lists_alone():
    display = LossCurveDisplay(
        names=["a"],
        loss_curves=[[3.0, 2.0, 1.0]],
        validation_loss_curves=[[3.0, 2.5, 2.6]],
        best_epochs=[2],
        learning_rate_curves=[None],
    ).plot()
    assert values(display.best_[0]) == ([2.0], [2.5])
