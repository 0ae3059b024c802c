"""The picture of a fit shows what the fit recorded."""

import subprocess
import sys

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdnn import DNNClassifier, LossCurveDisplay
from skdnn.display import COLORS
from tests.cases import UNCONVERGED

matplotlib.use("Agg")
pytestmark = UNCONVERGED

X, y = load_iris(return_X_y=True)


@pytest.fixture(autouse=True)
def no_figure_is_left():
    yield
    plt.close("all")


def classifier(**params):
    params = {"max_iter": 5, "learning_rate_init": 0.01, "random_state": 0, **params}
    return DNNClassifier.plain(hidden_layer_sizes=(4,), **params)


def stopping(**params):
    return classifier(early_stopping=True, scoring="loss", max_iter=12, **params)


def legend(display):
    return [text.get_text() for text in display.ax_.get_legend().get_texts()]


def test_the_lines_are_the_recorded_losses():
    model = stopping().fit(X, y)
    training, validation = LossCurveDisplay.from_estimator(model).lines_
    assert training.get_ydata().tolist() == model.loss_curve_
    assert validation.get_ydata().tolist() == model.validation_loss_curve_
    assert training.get_xdata().tolist() == list(range(1, model.n_iter_ + 1))


def test_the_best_epoch_is_marked_on_the_validation_curve():
    model = stopping(learning_rate_init=0.3).fit(X, y)
    (mark,) = LossCurveDisplay.from_estimator(model).best_
    best = model.best_n_iter_
    assert [*mark.get_xdata(), *mark.get_ydata()] == [best, min(model.validation_loss_curve_)]


def test_the_best_epoch_of_a_warm_start_is_counted_from_the_first_fit():
    model = stopping(warm_start=True, learning_rate_init=0.3).fit(X, y).fit(X, y)
    (mark,) = LossCurveDisplay.from_estimator(model).best_
    assert mark.get_ydata() == model.validation_loss_curve_[11 + model.best_n_iter_]


def test_the_best_epoch_of_a_refit_is_marked_where_the_search_found_it():
    model = stopping(refit=True, learning_rate_init=0.3).fit(X, y)
    (mark,) = LossCurveDisplay.from_estimator(model).best_
    assert mark.get_ydata() == min(model.validation_loss_curve_)


def test_no_best_epoch_is_marked_without_early_stopping():
    display = LossCurveDisplay.from_estimator(classifier().fit(X, y, X_val=X, y_val=y))
    assert len(display.lines_) == 2 and display.best_ == []


def test_one_fit_is_labelled_line_by_line():
    model = stopping().fit(X, y)
    display = LossCurveDisplay.from_estimator(model)
    assert legend(display) == ["training", "validation", f"best epoch: {model.best_n_iter_}"]
    assert display.ax_.get_legend().get_title().get_text() == "DNNClassifier"


def test_axes_are_labelled():
    display = LossCurveDisplay.from_estimator(classifier().fit(X, y))
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("Epoch", "Loss")


def test_iterations_of_lbfgs_are_called_so():
    model = classifier(solver="lbfgs").fit(X, y)
    assert LossCurveDisplay.from_estimator(model).ax_.get_xlabel() == "Iteration"


def test_the_learning_rate_has_its_own_axes_on_request():
    model = classifier(learning_rate="cosine").fit(X, y)
    display = LossCurveDisplay.from_estimator(model, learning_rate=True)
    (line,) = display.learning_rate_lines_
    assert line.axes is display.learning_rate_ax_ is not display.ax_
    assert line.get_ydata().tolist() == model.learning_rate_curve_
    assert display.learning_rate_ax_.get_ylabel() == "Learning rate"


def test_there_are_no_axes_of_the_learning_rate_otherwise():
    display = LossCurveDisplay.from_estimator(classifier().fit(X, y))
    assert display.learning_rate_ax_ is None and len(display.figure_.axes) == 1


def several(**params):
    models = [stopping(alpha=alpha).fit(X, y) for alpha in (0.0, 1.0, 9.0)]
    return LossCurveDisplay.from_estimators(models, **params)


def test_several_fits_share_one_axes():
    display = several()
    assert len(display.figure_.axes) == 1 and len(display.lines_) == 6


def test_several_fits_differ_in_colour_and_their_curves_in_style():
    lines = several().lines_
    assert [line.get_color() for line in lines] == [c for c in COLORS[:3] for _ in range(2)]
    assert len({line.get_linestyle() for line in lines}) == 2


def test_the_legend_of_several_fits_names_colours_then_styles():
    names = [text.split(" (best")[0] for text in legend(several(learning_rate=True))]
    kinds = ["training", "validation", "best epoch", "learning rate"]
    assert names == ["alpha=0.0", "alpha=1.0", "alpha=9.0", *kinds]


def test_fits_that_differ_in_nothing_are_numbered():
    models = [classifier().fit(X, y)] * 2
    display = LossCurveDisplay.from_estimators(models)
    assert display.names == ["DNNClassifier #1", "DNNClassifier #2"]


def test_a_dict_names_the_fits():
    display = LossCurveDisplay.from_estimators({"deep": classifier().fit(X, y)})
    assert display.names == ["deep"]


def relative_luminance(color):
    rgb = np.array(matplotlib.colors.to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


# Linear RGB as a dichromat sees it: Viénot, Brettel and Mollon (1999).
DICHROMATS = {
    "protanope": [[0.11238, 0.88762, 0], [0.11238, 0.88762, 0], [0.00401, -0.00401, 1]],
    "deuteranope": [[0.29275, 0.70725, 0], [0.29275, 0.70725, 0], [-0.02234, 0.02234, 1]],
}


@pytest.mark.parametrize("matrix", DICHROMATS.values(), ids=DICHROMATS)
def test_colours_stay_apart_for_a_colour_blind_reader(matrix):
    rgb = np.array([matplotlib.colors.to_rgb(color) for color in COLORS])
    seen = (np.array(matrix) @ rgb.T**2.2).T.clip(0, 1) ** (1 / 2.2)
    apart = np.abs(seen[:, None] - seen).max(axis=2) + np.eye(len(COLORS))
    assert apart.min() > 0.12


def test_colours_are_dark_enough_for_lines_on_white():
    # The contrast (1.05 / (luminance + 0.05)) is at least 2.
    assert max(map(relative_luminance, COLORS)) < 0.475


@pytest.mark.parametrize(
    "wrap",
    [
        lambda model: make_pipeline(StandardScaler(), model),
        lambda model: GridSearchCV(model, {"alpha": [0.1]}, cv=2),
        lambda model: GridSearchCV(make_pipeline(model), {"dnnclassifier__alpha": [0.1]}, cv=2),
    ],
)
def test_the_network_inside_is_plotted(wrap):
    display = LossCurveDisplay.from_estimator(wrap(classifier()).fit(X, y))
    assert len(display.loss_curves[0]) == 5 and display.names == ["DNNClassifier"]


def test_scikit_learns_network_can_stand_beside_ours():
    models = [classifier().fit(X, y), MLPClassifier((4,), max_iter=5, random_state=0).fit(X, y)]
    assert LossCurveDisplay.from_estimators(models).names == ["DNNClassifier", "MLPClassifier"]


def test_axes_of_the_user_are_drawn_on():
    _, ax = plt.subplots()
    display = LossCurveDisplay.from_estimator(classifier().fit(X, y), ax=ax, linewidth=3)
    assert display.ax_ is ax and display.figure_ is ax.figure
    assert display.lines_[0].get_linewidth() == 3


def test_plot_returns_the_display():
    display = LossCurveDisplay.from_estimator(classifier().fit(X, y))
    assert display.plot() is display


def test_a_picture_can_be_drawn(tmp_path):
    file = tmp_path / "curves.png"
    several(learning_rate=True).figure_.savefig(file)
    assert plt.imread(file).std() > 0


def test_an_estimator_that_is_not_fitted_is_refused():
    with pytest.raises(NotFittedError):
        LossCurveDisplay.from_estimator(classifier())


def test_an_estimator_without_losses_is_refused():
    with pytest.raises(TypeError, match="LogisticRegression records no losses"):
        LossCurveDisplay.from_estimator(LogisticRegression().fit(X, y))


@pytest.mark.parametrize("n, names", [(0, None), (0, ["a"]), (2, ["a"])])
def test_each_estimator_needs_a_name(n, names):
    with pytest.raises(ValueError, match=rf"{n} estimators"):
        LossCurveDisplay.from_estimators([classifier().fit(X, y)] * n, names=names)


def test_without_matplotlib_the_error_says_what_to_install():
    code = """
import sys
sys.modules["matplotlib"] = None
from skdnn import LossCurveDisplay
display = LossCurveDisplay(names=["a"], loss_curves=[[1.0]], validation_loss_curves=[None],
                           best_epochs=[None], learning_rate_curves=[None])
try:
    display.plot()
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'skdnn[plot]'" in done.stdout
