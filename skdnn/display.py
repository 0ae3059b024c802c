"""Pictures of a fit, in the manner of scikit-learn's Displays; needs the `plot` extra."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

from sklearn.utils.validation import check_is_fitted

# Of Okabe and Ito (2008), told apart by colour-blind readers: without yellow, too light for a
# line, and without purple, which is blue to a protanope.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#000000", "#E69F00", "#56B4E9")
TRAINING, VALIDATION, RATE = "-", (0, (4, 1.5)), (0, (1, 1.5))
GREY = "#666666"


class LossCurveDisplay:
    """Loss curves of one or several fits: training, validation, the best epoch.

    Made by :meth:`from_estimator` or :meth:`from_estimators`. What is passed here is kept
    as attributes, in one list for each, an entry for an estimator.

    Parameters
    ----------
    names : list of str
        What the estimators are called in the legend.
    loss_curves : list of (list of float)
        The training loss of every epoch.
    validation_loss_curves : list of (list of float or None)
        The validation loss of every epoch, where there is one.
    best_epochs : list of (int or None)
        The epoch whose weights are kept, counted from 1, where early stopping chose it.
    learning_rate_curves : list of (list of float or None)
        The learning rate of every epoch.
    x_label : str, default="Epoch"
        What the horizontal axis counts.

    Attributes
    ----------
    ax_ : matplotlib.axes.Axes
        The axes of the losses.
    figure_ : matplotlib.figure.Figure
        Its figure.
    lines_ : list of matplotlib.lines.Line2D
        The curves: of each estimator training, then validation if there is one.
    best_ : list of matplotlib.lines.Line2D
        The marks of the best epochs.
    learning_rate_ax_ : matplotlib.axes.Axes or None
        The axes of the learning rates, on the right.
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
    >>> model = DNNClassifier(early_stopping=True, scoring="loss", random_state=0)
    >>> LossCurveDisplay.from_estimator(model.fit(X, y))  # doctest: +SKIP
    <...>
    """

    def __init__(
        self,
        *,
        names: list[str],
        loss_curves: list[Sequence[float]],
        validation_loss_curves: list[Sequence[float] | None],
        best_epochs: list[int | None],
        learning_rate_curves: list[Sequence[float] | None],
        x_label: str = "Epoch",
    ) -> None:
        self.names = names
        self.loss_curves = loss_curves
        self.validation_loss_curves = validation_loss_curves
        self.best_epochs = best_epochs
        self.learning_rate_curves = learning_rate_curves
        self.x_label = x_label

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
            Passed to every call of ``Axes.plot`` for a loss.

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
        display = cls(
            names=names,
            loss_curves=[model.loss_curve_ for model in models],
            validation_loss_curves=[_get(model, "validation_loss_curve_") for model in models],
            best_epochs=[_best_epoch(model) for model in models],
            learning_rate_curves=[_get(model, "learning_rate_curve_") for model in models],
            x_label=" or ".join(sorted({_counted(model) for model in models})).capitalize(),
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
            Passed to every call of ``Axes.plot`` for a loss.

        Returns
        -------
        self

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        try:
            import matplotlib.pyplot as plt
            from matplotlib.ticker import MaxNLocator
        except ImportError as error:
            raise ImportError(
                "LossCurveDisplay needs matplotlib: pip install 'skdnn[plot]'."
            ) from error
        if ax is None:
            _, ax = plt.subplots(layout="constrained")
        self.ax_, self.figure_ = ax, ax.figure
        self.lines_: list[Any] = []
        self.best_: list[Any] = []
        for i in range(len(self.names)):
            self._plot_losses(i, kwargs)
        ax.set(xlabel=self.x_label, ylabel="Loss")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
        ax.grid(alpha=0.3, linewidth=0.6)
        self.learning_rate_ax_: Any = None
        self.learning_rate_lines_: list[Any] = []
        if learning_rate:
            self._plot_learning_rates()
        self._add_legend()
        return self

    def _colors(self, i: int) -> tuple[str, str]:
        """Return the colours of training and validation of estimator i."""
        first = COLORS[i % len(COLORS)]
        return (first, first) if len(self.names) > 1 else (COLORS[0], COLORS[1])

    def _plot_losses(self, i: int, kwargs: dict[str, Any]) -> None:
        curve, validation, best = (
            self.loss_curves[i],
            self.validation_loss_curves[i],
            self.best_epochs[i],
        )
        style = {"linewidth": 1.8}
        colors = self._colors(i)
        self.lines_ += self.ax_.plot(
            range(1, len(curve) + 1),
            curve,
            **{**style, "color": colors[0], "linestyle": TRAINING, **kwargs},
            label=f"{self.names[i]}, training",
        )
        if validation is None:
            return
        (line,) = self.ax_.plot(
            range(1, len(validation) + 1),
            validation,
            **{**style, "color": colors[1], "linestyle": VALIDATION, **kwargs},
            label=f"{self.names[i]}, validation",
        )
        self.lines_.append(line)
        if best:
            self.best_ += self.ax_.plot(
                best,
                validation[best - 1],
                "o",
                color=line.get_color(),
                markersize=8,
                markeredgecolor="white",
                markeredgewidth=1.5,
                zorder=3,
                label=f"{self.names[i]}, best epoch: {best}",
            )

    def _plot_learning_rates(self) -> None:
        self.learning_rate_ax_ = self.ax_.twinx()
        for i, (name, curve) in enumerate(zip(self.names, self.learning_rate_curves, strict=True)):
            if curve:
                self.learning_rate_lines_ += self.learning_rate_ax_.plot(
                    range(1, len(curve) + 1),
                    curve,
                    color=GREY if len(self.names) == 1 else self._colors(i)[0],
                    linestyle=RATE,
                    linewidth=1.2,
                    alpha=0.8,
                    label=f"{name}, learning rate",
                )
        self.learning_rate_ax_.set(ylabel="Learning rate")
        self.learning_rate_ax_.set_ylim(bottom=0)

    def _add_legend(self) -> None:
        """Name every line of one estimator; of several, the colours and then the styles."""
        from matplotlib.lines import Line2D

        drawn = [*self.lines_, *self.best_, *self.learning_rate_lines_]
        if len(self.names) == 1:
            labels = [line.get_label().removeprefix(f"{self.names[0]}, ") for line in drawn]
            self._put_legend(drawn, labels, title=self.names[0])
            return
        names = list(self.names)
        for line in self.best_:
            i = [n for n, name in enumerate(names) if line.get_label().startswith(f"{name}, best")]
            names[i[0]] += f" (best epoch: {line.get_label().rpartition(' ')[2]})"
        handles = [Line2D([], [], color=self._colors(i)[0], lw=4) for i in range(len(names))]
        kinds: dict[str, tuple[bool, dict[str, Any]]] = {
            "training": (True, {"linestyle": TRAINING}),
            "validation": (any(self.validation_loss_curves), {"linestyle": VALIDATION}),
            "best epoch": (bool(self.best_), {"marker": "o", "linestyle": ""}),
            "learning rate": (bool(self.learning_rate_lines_), {"linestyle": RATE}),
        }
        for name, (is_drawn, style) in kinds.items():
            if is_drawn:
                handles.append(Line2D([], [], color=GREY, **style))
                names.append(name)
        self._put_legend(handles, names)

    def _put_legend(self, handles: list[Any], labels: list[str], title: str | None = None) -> None:
        if self.learning_rate_ax_ is None:
            self.ax_.legend(handles, labels, title=title, framealpha=0.9)
        else:  # two families of curves leave no room for it inside
            place = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.01), "ncols": 2}
            self.ax_.legend(handles, labels, title=title, frameon=False, **place)


def _get(model: Any, name: str) -> Any:
    return getattr(model, name, None)


def _last(estimator: Any) -> Any:
    """Return the estimator that was trained, inside of a pipeline or search."""
    check_is_fitted(estimator)
    if hasattr(estimator, "best_estimator_"):
        return _last(estimator.best_estimator_)
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


def _best_epoch(model: Any) -> int | None:
    """Return the epoch that early stopping chose, counted over all warm starts."""
    if _get(model, "best_validation_score_") is None or not _get(model, "best_n_iter_"):
        return None
    return len(model.loss_curve_) - model.n_iter_ + model.best_n_iter_


def _counted(model: Any) -> str:
    return "iteration" if model.solver == "lbfgs" else "epoch"
