"""Pictures of a fit, in the manner of scikit-learn's Displays; needs the `plot` extra."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

# Of Okabe and Ito (2008), told apart by colour-blind readers: without yellow, too light for a
# line, and without purple, which is blue to a protanope.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#000000", "#E69F00", "#56B4E9")
DASHED, DOTTED = (0, (4, 1.5)), (0, (1, 1.5))
GREY = "#666666"

TRAINING, SEARCH, VALIDATION, DECIDING, BEST, RATE = (
    *("training", "training, search", "validation", "validation, calibrated"),
    *("best epoch", "learning rate"),
)
STRONG, FAINT = {"linewidth": 1.8}, {"linewidth": 1.0, "alpha": 0.6}
STYLES: dict[str, dict[str, Any]] = {
    TRAINING: {"linestyle": "-", **STRONG},
    SEARCH: {"linestyle": "-", **FAINT},
    VALIDATION: {"linestyle": DASHED, **STRONG},
    DECIDING: {"linestyle": DASHED, **STRONG},
    BEST: {
        "linestyle": "",
        "marker": "o",
        "markersize": 8,
        "markeredgecolor": "white",
        "markeredgewidth": 1.5,
        "zorder": 3,
    },
    RATE: {"linestyle": DOTTED, "linewidth": 1.2, "alpha": 0.8},
}

# What a display has of every estimator, and of each of its networks.
OF_EACH = (
    *("loss_curves", "search_loss_curves", "validation_loss_curves", "deciding_loss_curves"),
    *("validated_epochs", "best_epochs", "learning_rate_curves"),
)
# Of several networks there is one for each.
Curve = Sequence[float] | Sequence[Sequence[float]]


@dataclass(kw_only=True, eq=False, repr=False)
class LossCurveDisplay:
    """Loss curves of one or several fits: training, validation, the best epoch.

    Drawn are, over the epochs of all calls to `fit`: the training loss of the last run; that of
    the search before it, if it was a refit on all rows; the validation loss, and where
    calibration comes before the choice of the best epoch, also the one after it; and the best
    epoch on the curve that it was chosen by. Several networks are thin lines of one colour.

    Made by :meth:`from_estimator` or :meth:`from_estimators`. What is passed here is kept
    as attributes, in one list for each, an entry for an estimator; of several networks the entry
    is a list of them.

    Parameters
    ----------
    names : list of str
        What the estimators are called in the legend.
    loss_curves : list of (list of float)
        The training loss of every epoch.
    validation_loss_curves : list of (list of float or None)
        The validation loss of every epoch that was validated, if any was.
    best_epochs : list of (int or None)
        The epoch that early stopping found best, counted from 1 over all calls.
    learning_rate_curves : list of (list of float or None)
        The learning rate of every epoch.
    x_label : str, default="Epoch"
        What the horizontal axis counts.
    search_loss_curves : list of (list of float or None), optional
        The training loss of the epochs that were validated, where a refit came after them.
    deciding_loss_curves : list of (list of float or None), optional
        Their validation loss after calibration, where that decided which was the best.
    validated_epochs : list of (list of int or None), optional
        Which epochs these are, counted from 1 over all calls; None for 1, 2, ...
    scorings : list of (str or None), optional
        What best epochs are the best by, if not by the loss.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        The axes of the losses.
    figure_ : matplotlib.figure.Figure
        Its figure.
    lines_ : list of matplotlib.lines.Line2D
        The curves: of each estimator, and of each of its networks, training, the search's
        training, validation, and that after calibration, as far as they are there.
    best_ : list of matplotlib.lines.Line2D
        The marks of the best epochs.
    learning_rate_ax_ : matplotlib.axes.Axes or None
        The axes of the learning rates, on the right, if they are asked for and there are any.
    learning_rate_lines_ : list of matplotlib.lines.Line2D
        The learning rates.

    See Also
    --------
    sklearn.model_selection.LearningCurveDisplay : Scores by the number of rows.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skdnn import DNNClassifier, LossCurveDisplay
    >>> X, y = load_iris(return_X_y=True)
    >>> model = DNNClassifier(random_state=0)
    >>> LossCurveDisplay.from_estimator(model.fit(X, y))  # doctest: +SKIP
    <...>
    """

    names: list[str]
    loss_curves: list[Curve]
    validation_loss_curves: list[Any]
    best_epochs: list[Any]
    learning_rate_curves: list[Any]
    x_label: str = "Epoch"
    search_loss_curves: Any = None
    deciding_loss_curves: Any = None
    validated_epochs: Any = None
    scorings: Any = None
    ax_: Any = field(init=False)
    figure_: Any = field(init=False)
    lines_: list[Any] = field(init=False)
    best_: list[Any] = field(init=False)
    learning_rate_lines_: list[Any] = field(init=False)

    def __post_init__(self) -> None:
        for name in ("search_loss_curves", "deciding_loss_curves", "validated_epochs", "scorings"):
            setattr(self, name, getattr(self, name) or [None] * len(self.names))

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        *,
        name: str | None = None,
        learning_rate: bool = False,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Plot the loss curves of one fitted estimator.

        Parameters
        ----------
        estimator : estimator
            Fitted; or a fitted pipeline that ends in one, or a search whose best one is.
            Anything with a ``loss_curve_`` will do, scikit-learn's MLP among them.
        name : str, optional
            A title for the legend.
        learning_rate : bool, default=False
            Whether to plot the learning rate too, on axes of its own on the right.
        ax : matplotlib.axes.Axes, optional
            Where to plot; a new figure by default.
        **kwargs
            Passed to every call of ``Axes.plot`` for a loss, by matplotlib's long names or
            their short ones, such as `lw`, `c`, `ls`; all but `label`.

        Returns
        -------
        LossCurveDisplay

        Raises
        ------
        sklearn.exceptions.NotFittedError
            If the estimator is not fitted.
        TypeError
            If it records no losses.
        ImportError
            If matplotlib is not installed.
        """
        names = None if name is None else [name]
        return cls.from_estimators(
            [estimator], names=names, learning_rate=learning_rate, ax=ax, **kwargs
        )

    @classmethod
    def from_estimators(
        cls,
        estimators: Sequence[Any] | Mapping[str, Any],
        *,
        names: Sequence[str] | None = None,
        learning_rate: bool = False,
        ax: Any = None,
        **kwargs: Any,
    ) -> Self:
        """Plot the loss curves of several fitted estimators in one axes.

        Parameters
        ----------
        estimators : sequence of estimators, or dict of them by name
            As in :meth:`from_estimator`.
        names : sequence of str, optional
            What to call them. By default the parameters in which they differ, or their
            classes.
        learning_rate, ax, **kwargs
            As in :meth:`from_estimator`.

        Returns
        -------
        LossCurveDisplay

        Raises
        ------
        ValueError
            If there are no estimators, or not as many names.
        """
        if isinstance(estimators, Mapping):
            names, estimators = list(map(str, estimators)), list(estimators.values())
        models = [_last(estimator) for estimator in estimators]
        names = _tell_apart(models) if names is None else list(names)
        if not models or len(names) != len(models):
            raise ValueError(
                "There must be at least one estimator, and a name for each; got"
                f" {len(models)} estimators and {len(names)} names."
            )
        solvers = {getattr(model, "solver", None) == "lbfgs" for model in models}
        counted = ["epoch"] * (False in solvers) + ["iteration"] * (True in solvers)

        def each(name: str) -> list[Any]:
            return [getattr(model, name, None) for model in models]

        display = cls(
            names=names,
            loss_curves=each("loss_curve_"),
            search_loss_curves=each("search_loss_curve_"),
            validation_loss_curves=each("validation_loss_curve_"),
            deciding_loss_curves=[_deciding_loss(model) for model in models],
            validated_epochs=each("_validated"),
            best_epochs=[_best_epoch(model) for model in models],
            scorings=[_scoring(model) for model in models],
            learning_rate_curves=each("learning_rate_curve_"),
            x_label=" or ".join(counted).capitalize(),
        )
        return display.plot(ax, learning_rate=learning_rate, **kwargs)

    def plot(self, ax: Any = None, *, learning_rate: bool = False, **kwargs: Any) -> Self:
        """Plot the curves.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to plot; a new figure by default.
        learning_rate : bool, default=False
            Whether to plot the learning rates too, on axes of their own on the right.
        **kwargs
            As in :meth:`from_estimator`.

        Returns
        -------
        self

        Raises
        ------
        TypeError
            If `label` is among them.
        ImportError
            If matplotlib is not installed.
        """
        if "label" in kwargs:
            raise TypeError("What the curves are called is said by name or names, not by label.")
        self.ax_ = ax = axes(ax, "LossCurveDisplay")
        self.figure_ = ax.figure
        from matplotlib.cbook import normalize_kwargs
        from matplotlib.lines import Line2D
        from matplotlib.ticker import MaxNLocator

        self.learning_rate_ax_: Any = None
        networks = [(i, one) for i in range(len(self.names)) for one in self._networks(i)]
        if learning_rate and any(network["learning_rate_curves"] for _, network in networks):
            self.learning_rate_ax_ = ax.twinx()
        # What each line is of: which estimator, and which of the kinds that have a style.
        self._drawn: list[tuple[int, str, Any]] = []
        for i, network in networks:
            self._plot_network(i, network, normalize_kwargs(kwargs, Line2D))
        if self.learning_rate_ax_ is not None:
            top = 1.05 * self.learning_rate_ax_.dataLim.ymax
            self.learning_rate_ax_.set(ylabel="Learning rate", ylim=(0, top or 1))
        ax.set(xlabel=self.x_label, ylabel="Loss")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
        ax.grid(alpha=0.3, linewidth=0.6)
        self.lines_ = [line for _, kind, line in self._drawn if kind not in (BEST, RATE)]
        self.best_ = [line for _, kind, line in self._drawn if kind == BEST]
        self.learning_rate_lines_ = [line for _, kind, line in self._drawn if kind == RATE]
        self._add_legend()
        return self

    def _networks(self, i: int) -> list[dict[str, Any]]:
        """Return the curves of each network of estimator i; None for those that it has not."""
        curves = {name: getattr(self, name)[i] for name in OF_EACH}
        if not _is_of_several(self.loss_curves[i]):
            return [curves]
        n = len(self.loss_curves[i])
        return [{name: of and of[k] for name, of in curves.items()} for k in range(n)]

    def _plot_network(self, i: int, network: dict[str, Any], kwargs: dict[str, Any]) -> None:
        """Plot the curves of one network of estimator i."""
        loss, search, validation, deciding, validated, best, rate = (network[of] for of in OF_EACH)
        validated = validated or range(1, 1 + len(validation or ()))
        epochs = range(1, 1 + len(loss))
        self._plot(i, TRAINING, epochs, loss, kwargs)
        self._plot(i, SEARCH, validated, search, kwargs)
        self._plot(i, VALIDATION, validated, validation, kwargs, faint=bool(deciding))
        self._plot(i, DECIDING, validated, deciding, kwargs)
        decided = deciding or validation
        if decided and best in validated:
            color = {"color": self._drawn[-1][2].get_color()}
            # An earlier call may have gone beyond the epoch that a later one began with.
            at = len(validated) - 1 - list(reversed(validated)).index(best)
            self._plot(i, BEST, [best], [decided[at]], color)
        if self.learning_rate_ax_ is not None:
            self._plot(i, RATE, epochs, rate, {} if len(self.names) > 1 else {"color": GREY})

    def _plot(
        self,
        i: int,
        kind: str,
        epochs: Sequence[int],
        curve: Any,
        kwargs: dict[str, Any],
        faint: bool = False,
    ) -> None:
        """Plot one curve of estimator i, if it is there, with gaps between calls."""
        if not curve:
            return
        style = {"color": self._color(i, kind), **STYLES[kind], **(FAINT if faint else {})}
        if _is_of_several(self.loss_curves[i]) and "linewidth" in style:
            style["linewidth"] *= 0.65
        ax = self.learning_rate_ax_ if kind == RATE else self.ax_
        x = np.array(epochs[: len(curve)], float)
        gaps = np.flatnonzero(np.diff(x) != 1) + 1
        x, y = (np.insert(of, gaps, np.nan) for of in (x, np.array(curve, float)))
        lines = ax.plot(x, y, **{**style, **kwargs}, label=f"{self.names[i]}, {kind}")
        self._drawn += [(i, kind, line) for line in lines]

    def _color(self, i: int, kind: str) -> str:
        """Return the colour of estimator i; a single one has two."""
        if len(self.names) > 1:
            return COLORS[i % len(COLORS)]
        return COLORS[0] if kind in (TRAINING, SEARCH) else COLORS[1]

    def _add_legend(self) -> None:
        """Name every kind of line of one estimator; of several, the colours and then the styles."""
        from matplotlib.lines import Line2D

        first = {kind: line for _, kind, line in reversed(self._drawn)}  # of each kind
        kinds = [kind for kind in STYLES if kind in first]
        title = None
        if len(self.names) == 1:
            title, by = self.names[0], f" by {self.scorings[0]}" if self.scorings[0] else ""
            handles = [first[kind] for kind in kinds]
            labels = [f"{kind}{by}{self._which(0)}" if kind == BEST else kind for kind in kinds]
            if SEARCH in first:
                labels[0] = "training, refit"
        else:
            colors = {i: line.get_color() for i, _, line in reversed(self._drawn)}
            handles = [Line2D([], [], color=color, lw=4) for _, color in sorted(colors.items())]
            labels = [
                f"{name} (best epoch{which})" if (which := self._which(i)) else name
                for i, name in enumerate(self.names)
            ]
            for kind in kinds:
                handles.append(Line2D([], []))
                handles[-1].update_from(first[kind])
                handles[-1].set(color=GREY)
            labels += kinds
        place: dict[str, Any] = {"framealpha": 0.9}
        if self.learning_rate_ax_ is not None:  # two families of curves leave no room inside
            place = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.01), "ncols": 2}
            place["frameon"] = False
        self.ax_.legend(handles, labels, title=title, **place)

    def _which(self, i: int) -> str:
        """Return which epochs of estimator i are marked, as they stand in a legend."""
        best = [int(line.get_xdata()[0]) for j, kind, line in self._drawn if (j, kind) == (i, BEST)]
        return f": {', '.join(map(str, best))}" if best else ""


def axes(given: Any, display: str, **figure: Any) -> Any:
    """Return the axes to plot a display in: those given, or those of a new figure."""
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(f"{display} needs matplotlib: pip install 'skdnn[plot]'.") from error
    return plt.subplots(layout="constrained", **figure)[1] if given is None else given


def _is_of_several(curve: Any) -> bool:
    """Whether there is one curve for each of several networks."""
    return len(curve) > 0 and np.ndim(curve[0]) > 0


def _last(estimator: Any) -> Any:
    """Return the estimator that was trained, inside of a pipeline, a search or another one."""
    check_is_fitted(estimator)
    for name in ("best_estimator_", "regressor_", "estimator_"):
        if hasattr(estimator, name):
            return _last(getattr(estimator, name))
    if hasattr(estimator, "steps"):
        return _last(estimator[-1])
    if not hasattr(estimator, "loss_curve_"):
        raise TypeError(f"{type(estimator).__name__} records no losses: it has no loss_curve_.")
    return estimator


def _tell_apart(models: list[Any]) -> list[str]:
    """Return short names: classes, or parameters in which estimators of one class differ."""
    classes = [type(model).__name__ for model in models]
    if len(set(classes)) == len(classes):
        return classes
    params = [model.get_params() for model in models]
    differ = [
        name
        for name in dict.fromkeys(name for these in params for name in these)
        if len({repr(these.get(name)) for these in params}) > 1 and name != "random_state"
    ]
    names = [", ".join(f"{n}={these[n]!r}" for n in differ if n in these) for these in params]
    if len(set(names)) == len(names):
        return names
    return [f"{names[i] or classes[i]} #{i + 1}" for i in range(len(models))]


def _deciding_loss(model: Any) -> Any:
    """Return minus the scores, where these are of the loss after calibration."""
    did, scores = getattr(model, "recipe_", None), getattr(model, "validation_scores_", None)
    if did is None or not scores or not (did.calibrate and did.scoring == "loss"):
        return None
    return [[-score for score in of] if np.ndim(of) else -of for of in scores]


def _best_epoch(model: Any) -> Any:
    """Return the epoch that early stopping chose, counted over all warm starts.

    A run goes on where the last run of the call before ended.
    """
    curve = model.loss_curve_
    best: Any = getattr(model, "best_n_iter_", None)
    score: Any = getattr(model, "best_validation_score_", None)
    if _is_of_several(curve):
        return [b if s is not None else None for b, s in zip(best, score, strict=True)]
    return None if score is None or not best else len(curve) - model.n_iter_ + best


def _scoring(model: Any) -> str | None:
    """Return what the best epoch was chosen by, if not by the loss."""
    scoring = getattr(getattr(model, "recipe_", None), "scoring", "loss")
    return None if scoring == "loss" else scoring
