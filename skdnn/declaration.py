"""How a parameter is declared, and what is made of all of an estimator's.

From the fields of the dataclasses that an estimator derives from `estimator` makes its
constructor, scikit-learn's constraints and its docstring.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterable
from dataclasses import MISSING
from difflib import get_close_matches
from textwrap import indent
from types import SimpleNamespace
from typing import Any, NamedTuple, Never, TypeVar, dataclass_transform

from skdnn._sklearn import InvalidParameterError, StrOptions
from skdnn.attributes import ATTRIBUTES, OF_CLASSIFIERS

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

# By what other libraries call it.
HERE_IT_IS = {
    "epochs": "max_iter",
    "eval_set": "X_val and y_val",
    "hidden_dims": "hidden_layer_sizes",
    "lr": "learning_rate_init",
    "optimizer": "solver",
    "patience": "n_iter_no_change",
    "seed": "random_state",
    "validation_data": "X_val and y_val",
    "validation_split": "validation_fraction",
}


class Settings(SimpleNamespace):
    """The values of all parameters, by name. They cannot be changed."""

    def __setattr__(self, name: str, value: Any) -> Never:
        raise AttributeError(f"{name!r} is settled.")

    def __delattr__(self, name: str) -> Never:
        raise AttributeError(f"{name!r} is settled.")


class Names(StrOptions):
    """Names of which one is to be given: sorted in messages.

    Others are as good as these; a message says what they are `called`.
    """

    def __init__(self, names: set[str], others: Iterable[str] = (), called: str = "") -> None:
        super().__init__({*names, *others})
        self.listed: list[str] = sorted(names)
        self.called = called

    def __str__(self) -> str:
        return f"a str among {{{', '.join(map(repr, self.listed))}}}{self.called}"


class Auto(NamedTuple):
    """What "auto" stands for: in words, and given the other parameters for n rows.

    The value is None where more decides than these. Among the other parameters are `validates`,
    whether rows to validate on have been given to `fit`, and `n_spare`, how many may be held out.
    """

    sentence: str
    value: Callable[[Settings, int], Any] | None = None


def param(
    *,
    default: Any,
    rule: list[Any],
    doc: str,
    plain: Any = MISSING,
    auto: Auto | None = None,
    off: Any = MISSING,
    hint: str = "",
    kw_only: bool = True,
) -> Any:
    """Return a parameter of an estimator.

    Parameters
    ----------
    default : object
        What the constructor takes it to be.
    rule : list
        Any of these constraints of scikit-learn has to hold.
    doc : str
        On the first line the type, as numpydoc has it; then the description.
    plain : object, optional
        Its value in the network of the paper with nothing added, or, if the incumbent has
        the parameter too, the incumbent's default; the default unless it is given.
    auto : Auto, optional
        What the value "auto" stands for.
    off : object, optional
        The value that changes nothing, which it must have beside a solver that cannot use
        it. The incumbent's own parameters have none: its users' grids name them beside
        solvers that ignore them.
    hint : str, optional
        What to say where its value is refused.
    kw_only : bool, default=True
        Whether it is given by name only.

    Returns
    -------
    dataclasses.Field
    """
    plain = default if plain is MISSING else plain
    metadata = dict(rule=rule, doc=doc, plain=plain, auto=auto, off=off, hint=hint)
    return dataclasses.field(default=default, kw_only=kw_only, metadata=metadata)


@dataclass_transform(field_specifiers=(param,), kw_only_default=True, eq_default=False)
def group(cls: type[T]) -> type[T]:
    """Make a class a group of parameters, with a constructor that takes them.

    Those of its bases, the last base first, come before its own, and those by name only
    after all others.
    """
    return dataclasses.dataclass(eq=False, repr=False, match_args=False, kw_only=True)(cls)


def estimator(cls: type[T]) -> type[T]:
    """Give an estimator that derives from groups its constructor, constraints and docstring.

    ``{parameters}`` and ``{attributes}`` in the docstring are filled. For a type checker the
    constructor is that of the group: of a dataclass with untyped bases, such as those from
    scikit-learn, mypy would let it take anything.
    """
    made: Any = group(cls)
    made.__init__ = explained(made.__init__, made.__name__)
    fields = {field.name: field for field in dataclasses.fields(made)}
    made._parameter_constraints = {name: f.metadata["rule"] for name, f in fields.items()}
    if "{parameters}" in made.__doc__:  # it is not under python -OO
        made.__doc__ = inspect.cleandoc(made.__doc__).format(
            parameters="\n".join(_described(fields[n]) for n in inspect.signature(made).parameters),
            attributes=(ATTRIBUTES + OF_CLASSIFIERS * ("class_weight" in fields)).rstrip(),
        )
    return made


def explained(method: F, owner: str = "") -> F:
    """Have a call that does not fit the signature refused by the class's name, with a hint.

    Python would name the class that the method was written in. It is that of the object that it is
    called on unless its `owner` is given.
    """

    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        except TypeError:
            signature = inspect.signature(method)  # which takes 0.1 ms, if it is to be known
            try:
                signature.bind(self, *args, **kwargs)
            except TypeError as error:
                known = signature.parameters
                hint = nearest(next((n for n in kwargs if n not in known), ""), known)
                what = f"{owner or type(self).__name__}.{method.__name__}()"
                raise TypeError(f"{what} {error}.{hint}") from None
            raise

    return call  # type: ignore[return-value]


def nearest(given: Any, known: Iterable[str]) -> str:
    """Return what may have been meant, as a sentence to add to a message, or nothing."""
    if not isinstance(given, str):
        return ""
    if given in HERE_IT_IS:
        return f" What other libraries call {given!r} is {HERE_IT_IS[given]} here."
    by_small = {name.lower(): name for name in known}
    close = [repr(by_small[name]) for name in get_close_matches(given.lower(), by_small)]
    return f" Did you mean {' or '.join(close)}?" if close else ""


@functools.cache  # the estimators share most
def _described(field: dataclasses.Field[Any]) -> str:
    kind, text = inspect.cleandoc(field.metadata["doc"]).split("\n", maxsplit=1)
    if field.metadata["auto"] is not None:
        text += "\n" + inspect.cleandoc(field.metadata["auto"].sentence)
    return f"{field.name} : {kind}, default={field.default!r}\n{indent(text, '    ')}"


def is_auto(value: Any) -> bool:
    """Return whether a parameter is left to "auto"."""
    return isinstance(value, str) and value == "auto"


def invalid(estimator: Any, name: str, rule: str, hint: str = "") -> InvalidParameterError:
    """Return the error that names a parameter, its rule and its value."""
    return InvalidParameterError(
        f"The {name!r} parameter of {type(estimator).__name__} must be {rule}."
        f" Got {getattr(estimator, name)!r} instead.{hint}"
    )
