"""Rows by blocks: the same fit wherever they are, in memory that does not grow with them."""

import numpy as np
import pytest

from skdnn import Checkpoint, DNNBinaryClassifier, DNNClassifier, DNNRegressor
from skdnn.fit import blocks
from skdnn.fit.blocks import ALL, Blocks, HeldOut, block_rows, pool_rows
from skdnn.fit.holdout import draw
from skdnn.fit.rows import Rows
from skdnn.inputs import SCALERS
from tests.cases import UNCONVERGED, Crash, Spy, contents_of, epoch, outputs_of, peak_of, raising

pytestmark = UNCONVERGED

N, D, POOL_ROWS = 1100, 3, 512
rng = np.random.default_rng(0)
X = rng.normal(size=(N, D)) * [1.0, 10.0, 0.1] + [0.0, 5.0, 1.0]
SCORE = X[:, 0] - 0.1 * X[:, 1] + 0.1 * rng.normal(size=N)
TARGETS = {
    DNNRegressor: SCORE,
    DNNBinaryClassifier: np.where(SCORE > -0.5, "yes", "no"),
    DNNClassifier: np.digitize(SCORE, [-1.5, 0.0]),
}
W = rng.integers(0, 3, N) * rng.uniform(0.5, 2.0, N)
SMALL = {"hidden_layer_sizes": (6,), "max_iter": 3, "random_state": 0}
EACH = pytest.mark.parametrize("Estimator", TARGETS)


@pytest.fixture(autouse=True)
def pools(monkeypatch):
    """Have pools of 512 rows in blocks of 8, none of which are kept."""
    monkeypatch.setattr(blocks, "LEAST_ROWS", POOL_ROWS)
    monkeypatch.setattr(blocks, "MOST_ROWS", POOL_ROWS)
    monkeypatch.setattr(blocks, "KEPT", 0)


class Sliced:
    """What is read by slices, and counts how many rows are asked for at once."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.most = array, array.shape, array.dtype, 0

    def __getitem__(self, rows):
        assert isinstance(rows, slice)
        self.most = max(self.most, len(range(*rows.indices(len(self.array)))))
        return self.array[rows].copy()


def mapped(array, path):
    np.save(path / "rows.npy", array)
    return np.load(path / "rows.npy", mmap_mode="r")


def in_hdf5(array, path):
    h5py = pytest.importorskip("h5py")
    file = h5py.File(path / "rows.h5", "w")
    return file.create_dataset("X", data=array)


def in_zarr(array, path):
    zarr = pytest.importorskip("zarr")
    return zarr.create_array(str(path / "rows.zarr"), data=array, chunks=(50, D))


CONTAINERS = {"map": mapped, "slices": lambda a, path: Sliced(a), "hdf5": in_hdf5, "zarr": in_zarr}


def in_float32(array, path):
    return mapped(array.astype(np.float32), path)


@EACH
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("container", CONTAINERS)
def test_the_fit_is_bitwise_that_of_rows_in_memory(Estimator, dtype, container, tmp_path):
    rows, y = X.astype(dtype), TARGETS[Estimator]
    ours = Estimator(**SMALL).fit(CONTAINERS[container](rows, tmp_path), y)
    assert contents_of(ours) == contents_of(Estimator(**SMALL).fit(rows, y))


OPTIONS = {
    "plain scales": {"scale_inputs": None, "precision": None},
    "robust": {"scale_inputs": "robust"},
    "standard": {"scale_inputs": "standard"},
    "dropout": {"dropout": 0.2, "alpha": 0.1},
    "several": {"n_estimators": 2},
    "score": {"scoring": None},
    "in order": {"shuffle": False},
    "large batches": {"batch_size": 200},
    "no rows held out": {"early_stopping": False},
    "gd": {"solver": "gd"},
    "gd held out": {"solver": "gd", "early_stopping": True, "dropout": 0.2},
    "lbfgs": {"solver": "lbfgs"},
    "sgd": {"solver": "sgd", "learning_rate": "adaptive", "n_iter_no_change": 1},
}


@EACH
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("options", OPTIONS)
def test_every_option_is_that_of_rows_in_memory(Estimator, options, weighted):
    params, y = {**SMALL, **OPTIONS[options]}, TARGETS[Estimator]
    w = W if weighted else None
    ours = Estimator(**params).fit(Sliced(X), Sliced(y), None if w is None else Sliced(w))
    theirs = Estimator(**params).fit(X, y, w)
    assert np.array_equal(outputs_of(ours, X), outputs_of(theirs, X))
    assert ours.loss_ == theirs.loss_ and np.isfinite(ours.loss_)
    assert ours.loss_curve_ == theirs.loss_curve_


@pytest.mark.parametrize("class_weight", ["balanced", {0: 0.0, 1: 2.0, 2: 1.0}])
@pytest.mark.parametrize("w", [None, W], ids=["", "weighted"])
def test_weights_of_classes_are_those_of_rows_in_memory(class_weight, w):
    params, y = {**SMALL, "class_weight": class_weight}, TARGETS[DNNClassifier]
    ours, theirs = (DNNClassifier(**params).fit(rows, y, w) for rows in (Sliced(X), X))
    assert np.array_equal(outputs_of(ours, X), outputs_of(theirs, X))


@pytest.mark.parametrize("y", [np.column_stack([SCORE, X[:, 1]]), np.exp(SCORE)])
def test_several_targets_and_other_losses(y):
    params = {**SMALL, "loss": "squared_error" if y.ndim == 2 else "gamma"}
    ours, theirs = (DNNRegressor(**params).fit(rows, y) for rows in (Sliced(X), X))
    assert np.array_equal(ours.predict(X), theirs.predict(X))


def test_label_sets():
    y = (X > [0.0, 5.0, 1.0]).astype(int)
    ours, theirs = (DNNBinaryClassifier(**SMALL).fit(rows, y) for rows in (Sliced(X), X))
    assert np.array_equal(ours.predict_proba(X), theirs.predict_proba(X))


@EACH
def test_what_is_kept_changes_nothing(Estimator, monkeypatch):
    read_again = Estimator(**SMALL).fit(X, TARGETS[Estimator], W)
    monkeypatch.setattr(blocks, "KEPT", 1 << 20)
    kept = Estimator(**SMALL).fit(X, TARGETS[Estimator], W)
    assert contents_of(kept) == contents_of(read_again)


def test_one_block_and_many_have_one_objective(monkeypatch):
    params = {**SMALL, "solver": "gd", "max_iter": 5, "scale_inputs": "clipped"}
    many = DNNRegressor(**params).fit(X, SCORE, W)
    monkeypatch.setattr(blocks, "MOST_ROWS", N)
    monkeypatch.setattr(blocks, "LEAST_ROWS", N)
    one = DNNRegressor(**params).fit(X, SCORE, W)
    assert many.loss_ == pytest.approx(one.loss_, rel=1e-12)
    assert many.predict(X) == pytest.approx(one.predict(X), rel=1e-10)


@EACH
def test_up_to_a_pool_a_file_is_an_array(Estimator, tmp_path):
    rows, y = X[:POOL_ROWS], TARGETS[Estimator][:POOL_ROWS]
    ours = Estimator(**SMALL).fit(mapped(rows, tmp_path), y)
    assert contents_of(ours) == contents_of(Estimator(**SMALL).fit(rows, y))


@EACH
@pytest.mark.parametrize("scale_inputs", SCALERS)
def test_missing_numbers_are_those_of_rows_in_memory(Estimator, scale_inputs):
    gappy, params = X.copy(), {**SMALL, "scale_inputs": scale_inputs}
    gappy[rng.random(X.shape) < 0.1] = np.nan
    gappy[:, 0] = X[:, 0]
    ours, theirs = (
        Estimator(**params).fit(of(gappy), TARGETS[Estimator], W) for of in (Sliced, np.array)
    )
    assert contents_of(ours) == contents_of(theirs)
    assert ours._model.inputs.gaps == [1, 2]


@EACH
@pytest.mark.parametrize("which", [[1, 2]])
@pytest.mark.parametrize("w", [None, W], ids=["alike", "weighted"])
def test_categories_in_arrays_are_those_of_rows_in_memory(Estimator, which, w):
    coded = np.c_[X[:, 0], np.digitize(X[:, 1], [0, 4, 9]), np.round(100 * X[:, 2])]
    params = {**SMALL, "categorical_features": which}
    ours, theirs = (
        Estimator(**params).fit(of(coded), TARGETS[Estimator], w) for of in (Sliced, np.array)
    )
    assert contents_of(ours) == contents_of(theirs)
    assert outputs_of(ours, Sliced(coded)).tobytes() == outputs_of(theirs, coded).tobytes()
    assert ours._model.inputs.told


@pytest.mark.parametrize("scale_inputs", ["standard", "clipped", None])
def test_gaps_and_centres_are_those_of_few_rows(scale_inputs):
    gappy, params = X.copy(), {**SMALL, "scale_inputs": scale_inputs}
    gappy[rng.random(X.shape) < [0.0, 0.1, 2.0]] = np.nan
    few = DNNRegressor(**params)
    many = DNNRegressor(**params).fit(gappy, SCORE, W)
    blocks.MOST_ROWS = blocks.LEAST_ROWS = N
    ours, theirs = many._model.inputs, few.fit(gappy, SCORE, W)._model.inputs
    assert ours.gaps == theirs.gaps == [1]
    for name in ("center", "scale", "fill"):
        one, other = getattr(ours, name), getattr(theirs, name)
        assert (one is None) == (other is None)
        assert one is None or one == pytest.approx(other, rel=1e-12)


# What is asked of a fitted model


@EACH
def test_predictions_and_scores_are_those_of_rows_in_memory(Estimator):
    y = TARGETS[Estimator]
    model, stored = Estimator(**SMALL).fit(X, y), Sliced(X)
    for method in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        if hasattr(model, method):
            assert np.array_equal(getattr(model, method)(stored), getattr(model, method)(X))
    for w in (None, W):
        assert model.score(stored, Sliced(y), w) == pytest.approx(model.score(X, y, w), rel=1e-12)
    assert stored.most <= POOL_ROWS


def test_a_lot_without_weight_says_nothing_of_the_score():
    y, w = TARGETS[DNNClassifier], np.ones(N)
    w[:300] = 0.0
    model = DNNClassifier(**SMALL).fit(X, y)
    assert model.score(Sliced(X), y, w) == pytest.approx(model.score(X, y, w), rel=1e-12)


def test_a_score_of_several_quantiles_is_that_of_rows_in_memory():
    model = DNNRegressor(loss="quantile", quantile=[0.1, 0.9], **SMALL).fit(X, SCORE)
    assert model.score(Sliced(X), Sliced(SCORE)) == model.score(X, SCORE)


@EACH
def test_partial_fit_goes_through_a_file_lot_by_lot(Estimator):
    y, stored = TARGETS[Estimator], Sliced(X)
    classes = {} if Estimator is DNNRegressor else {"classes": np.unique(y)}
    ours = Estimator(**SMALL).partial_fit(stored, Sliced(y), W, **classes)
    assert ours.t_ == N and stored.most <= POOL_ROWS
    assert ours._model.inputs.center == pytest.approx(np.average(X, axis=0, weights=W))


# How rows are taken


def numbered(n, size):
    """Return n rows in blocks, each of which is its number."""
    ends = np.arange(0, n, size)

    def load(i):
        each = np.arange(ends[i], min(ends[i] + size, n))[:, None].astype(float)
        return Rows(each, each, None)

    counts = np.array([len(load(i)) for i in range(len(ends))])
    return Blocks(counts, float(n), 1.0, load, keeps=False)


@pytest.mark.parametrize("n", [1, 4, 255, 257, 1023])
@pytest.mark.parametrize("shuffles", [False, True])
def test_an_epoch_takes_every_row_once_but_for_those_held_out(n, shuffles):
    out = draw(n, n // 5, np.random.default_rng(1))
    generator = np.random.default_rng(0) if shuffles else None
    seen = np.concatenate([pool.rows.X[:, 0] for pool in numbered(n, 4).pools(generator, out)])
    assert sorted(seen) == np.delete(np.arange(n), out).tolist()
    assert shuffles or (np.diff(seen) > 0).all()


def test_every_pool_has_blocks_from_everywhere():
    pools = list(numbered(4096, 4).pools(np.random.default_rng(0), ALL.numbers))
    assert len(pools) == 16
    assert all(pool.rows.X.min() < 400 and pool.rows.X.max() > 3700 for pool in pools)


@pytest.mark.parametrize("n, size", [(10, 10), (1000, 200), (10**12, 50)])
def test_rows_are_drawn_once_each_without_an_array_of_all(n, size):
    drawn = draw(n, size, np.random.default_rng(0))
    assert len(np.unique(drawn)) == size and drawn.max() < n


def test_the_rows_of_a_pool_follow_from_the_columns(monkeypatch):
    monkeypatch.undo()
    assert [pool_rows(d) for d in (1, 28, 100, 10**6)] == [131_072, 74_898, 20_971, 4_096]
    assert [block_rows(d) for d in (1, 28, 100, 10**6)] == [2048, 1170, 327, 64]


def test_a_sorted_file_is_learnt():
    order = np.argsort(TARGETS[DNNClassifier], kind="stable")
    model = DNNClassifier(hidden_layer_sizes=(16,), random_state=0, max_iter=12)
    model.fit(Sliced(X[order]), TARGETS[DNNClassifier][order])
    assert model.score(X, TARGETS[DNNClassifier]) > 0.9


def test_the_only_rows_of_a_class_are_trained_on():
    y = np.zeros(N, int)
    y[:3], y[N // 2 :] = [1, 2, 3], 4
    seen = []

    class Watching(DNNClassifier):
        def _read_targets(self, y, name):
            seen.append(name)
            return super()._read_targets(y, name)

    model = Watching(**SMALL).fit(X, y)
    assert model.classes_.tolist() == [0, 1, 2, 3, 4]
    assert np.isfinite(model.validation_loss_curve_).all()


def test_held_out_rows_are_no_more_than_a_pool():
    did = DNNRegressor(**SMALL, validation_fraction=0.5).fit(X, SCORE).recipe_
    assert (did.n_rows, did.n_held_out) == (N, POOL_ROWS)


# Memory


def test_memory_does_not_grow_with_the_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "LEAST_ROWS", 2048)
    monkeypatch.setattr(blocks, "MOST_ROWS", 2048)
    peaks = []
    for n in (4_096, 16_384):
        path = tmp_path / str(n)
        path.mkdir()
        rows = mapped(rng.normal(size=(n, 20)).astype(np.float32), path)
        y = np.lib.format.open_memmap(path / "y.npy", "w+", np.float32, (n,))
        y[:] = rows[:, 0]
        model = DNNRegressor(**{**SMALL, "max_iter": 1})
        peaks.append(peak_of(lambda model=model, rows=rows, y=y: model.fit(rows, y) and None))
    assert peaks[1] < 1.3 * peaks[0]
    assert peaks[1] < 16 * 2048 * 20 * 4


def test_no_more_than_a_pool_is_read_at_once():
    stored = Sliced(X)
    DNNRegressor(**SMALL).fit(stored, SCORE)
    assert stored.most <= POOL_ROWS


# Round about a fit


@EACH
def test_rows_to_validate_on_may_be_on_a_disk(Estimator):
    y = TARGETS[Estimator]
    ours, theirs = (
        Estimator(**SMALL).fit(rows, y, X_val=of(X[:80]), y_val=of(y[:80]))
        for rows, of in ((Sliced(X), Sliced), (X, np.array))
    )
    assert ours.validation_loss_curve_ == theirs.validation_loss_curve_
    assert np.array_equal(outputs_of(ours, X), outputs_of(theirs, X))


@EACH
def test_a_warm_start_goes_on(Estimator):
    y = TARGETS[Estimator]
    ours, theirs = (
        Estimator(**SMALL, warm_start=True).fit(rows, y).fit(rows, y) for rows in (Sliced(X), X)
    )
    assert np.array_equal(outputs_of(ours, X), outputs_of(theirs, X))


def test_a_fit_that_is_broken_off_goes_on_from_its_checkpoint(tmp_path):
    whole = DNNRegressor(**SMALL).fit(X, SCORE)
    checkpoint = Checkpoint(tmp_path / "fit", every=1)
    with pytest.raises(Crash):
        crash = raising(Crash, epoch(2))
        DNNRegressor(**SMALL).set_callbacks(checkpoint, crash).fit(Sliced(X), SCORE)
    model = DNNRegressor(**SMALL).set_callbacks(Checkpoint(tmp_path / "fit", every=1))
    model.fit(Sliced(X), SCORE)
    assert np.array_equal(model.predict(X), whole.predict(X))


def test_callbacks_are_given_the_file():
    stored, spy = Sliced(X), Spy()
    DNNRegressor(**SMALL).set_callbacks(spy).fit(stored, SCORE)
    assert all(X is stored for _, X, *_ in spy.seen)


# What is refused


def bad(value, at=700):
    rows = X.copy()
    rows[at, 1] = value
    return Sliced(rows)


@pytest.mark.parametrize("value", [-np.inf, np.inf])
def test_what_is_no_number_is_named_by_its_rows_and_changes_nothing(value):
    model = DNNRegressor(**SMALL).fit(X, SCORE)
    before = contents_of(model)
    with pytest.raises(ValueError, match=r"In the rows from \d+ to \d+: .*X contains"):
        model.fit(bad(value), SCORE)
    assert contents_of(model) == before


REFUSED = {
    "lengths": ((Sliced(X), SCORE[:-1]), {}, "y must have the 1100 rows of X; it has 1099"),
    "weights": ((Sliced(X), SCORE, W[1:]), {}, r"sample_weight.shape == \(1099,\)"),
    "no weight": ((Sliced(X), SCORE, 0 * W), {}, "sample_weight must not be zero for every row"),
    "negative": ((Sliced(X), SCORE, -W), {}, "sample_weight"),
    "splitter": (
        (Sliced(X), SCORE),
        {"validation_fraction": [(np.arange(9), np.arange(9, 20))]},
        "'validation_fraction' parameter of DNNRegressor must be a share of the rows",
    ),
    "groups": ((Sliced(X), SCORE, None, None, None, None, W), {}, "groups must be None for rows"),
    "no such column": (
        (Sliced(X), SCORE),
        {"categorical_features": [7]},
        "In the rows from 0 to .*: categorical_features must be numbers of columns from 0 to 2",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_unfit_is_refused_by_name(kind):
    given, params, message = REFUSED[kind]
    with pytest.raises(ValueError, match=message):
        DNNRegressor(**SMALL, **params).fit(*given)


class Shrinking(Sliced):
    """A file that somebody cuts off after it has been read from so many times."""

    def __init__(self, array, times):
        super().__init__(array)
        self.times = times

    def __getitem__(self, rows):
        self.times -= 1
        return super().__getitem__(rows)[: None if self.times > 0 else 3]


@pytest.mark.parametrize("which", ["X", "y", "sample_weight"])
@pytest.mark.parametrize("times", [1, 5, 20, 60])
def test_a_file_that_is_cut_off_is_told_of(which, times):
    rows = {"X": Sliced(X), "y": Sliced(SCORE), "sample_weight": Sliced(W)}
    rows[which] = Shrinking(rows[which].array, times)
    with pytest.raises(ValueError, match="must stay as it is while it is fitted"):
        DNNRegressor(**SMALL).fit(**rows)


def test_a_refit_on_both_is_refused_beside_a_file():
    with pytest.raises(ValueError, match="'refit' parameter of DNNRegressor must be 'auto' or"):
        DNNRegressor(**SMALL, refit=True).fit(Sliced(X), SCORE, X_val=X[:80], y_val=SCORE[:80])


def test_columns_other_than_those_of_the_fit_are_refused():
    model = DNNRegressor(**SMALL).fit(X[:, :2], SCORE)
    with pytest.raises(ValueError, match="2 features"):
        model.predict(Sliced(X))


def test_a_held_out_part_leaves_its_weight_out():
    assert HeldOut(np.array([1, 2]), 3.0).weight == 3.0


@pytest.mark.parametrize("w", [None, np.r_[np.zeros(300), np.ones(N - 300)]])
def test_the_labels_of_a_lot_without_weight_are_classes(w):
    y = np.where(np.arange(N) < 100, 9, TARGETS[DNNClassifier])
    assert DNNClassifier(**SMALL).fit(Sliced(X), y, w).classes_.tolist() == [0, 1, 2, 9]


@pytest.mark.parametrize("stored", [False, True])
def test_a_lot_without_weight_tells_nothing_of_many_levels(stored):
    rows = np.column_stack([X[:, 0], rng.integers(0, 60, N)])
    w = np.ones(N)
    w[:300] = 0.0
    model = DNNRegressor(**SMALL, categorical_features=[1])
    model.fit(Sliced(rows) if stored else rows, SCORE, w)
    assert model.categories_[1] == sorted(np.unique(rows[300:, 1]))
    assert np.isfinite(model.loss_)


@pytest.mark.parametrize(
    "w",
    [
        np.full(N, "1.5"),
        np.full(N, "1.5", object),
        np.full(N, "2020-01-01", "M8[D]"),
        np.full(N, 1 + 2j),
        np.array(2.0),
        np.ones((N, 1)),
        -np.ones(N),
        np.ones(N - 1),
    ],
    ids=["text", "objects", "dates", "complex", "0-d", "2-d", "negative", "short"],
)
def test_weights_of_stored_rows_are_refused_as_those_of_others(w):
    errors = []
    for rows in (X, Sliced(X)):
        with pytest.raises((ValueError, TypeError), match="sample_weight") as caught:
            DNNRegressor(**SMALL).fit(rows, SCORE, w)
        errors.append(str(caught.value))
    assert errors[0] == errors[1]
    with pytest.raises((ValueError, TypeError), match="sample_weight"):
        DNNRegressor(**SMALL).fit(X, SCORE).score(Sliced(X), SCORE, w)


def test_a_score_of_stored_rows_wants_as_many_targets():
    model = DNNRegressor(**SMALL).fit(X, SCORE)
    with pytest.raises(ValueError, match=f"y must have the {N} rows of X; it has {N - 1}"):
        model.score(Sliced(X), SCORE[:-1])
    assert model.score(Sliced(X), SCORE, 2.0) == pytest.approx(model.score(X, SCORE))
