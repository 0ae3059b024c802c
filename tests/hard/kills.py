"""Checkpointed fits that are killed, run out of disk or meet damage: bitwise the same, or refused.

Children are forks, so that none has to import anything. Each compares what it has found with the
fit that nothing disturbed, and tells by its exit.
"""

import copy
import os
import resource
import signal
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np

from skdnn import Checkpoint, DNNClassifier, DNNRegressor
from tests.cases import contents_of, differing
from tests.hard.estimators import insist
from tests.hard.tables import Draw

SAME, REFUSED, OTHER, WRONG = 0, 3, 4, 5
NOBODY = 65534


class Fit:
    """A fit that can be made again and again, and what it comes to."""

    def __init__(self, draw):
        n = draw.one([40, 100])
        self.X = draw.rng.normal(size=(n, 3))
        Estimator = draw.one([DNNRegressor, DNNClassifier])
        score = self.X @ [1.0, -2.0, 0.5]
        self.y = score if Estimator is DNNRegressor else np.digitize(score, [-1, 1])
        self.every = draw.between(1, 4)
        solver = draw.one(["adam", "adam", "sgd", "gd"])
        params = {"solver": solver, "max_iter": draw.between(5, 30), "random_state": 0}
        if draw.chance(0.3):
            params["n_estimators"] = draw.between(2, 3)
        elif draw.chance(0.3):
            params["warm_start"] = True
        if solver != "gd":
            params |= {"dropout": draw.one([0.0, 0.2]), "refit": draw.one(["auto", False])}
        self.start = Estimator(hidden_layer_sizes=(6,), **params)
        begin = time.monotonic()
        if self.start.warm_start:
            self.start.fit(self.X, self.y)
        self.expected = contents_of(copy.deepcopy(self.start).fit(self.X, self.y).set_callbacks())
        self.seconds = time.monotonic() - begin

    def __call__(self, path):
        """Fit, with a checkpoint, and tell how it ended."""
        model = copy.deepcopy(self.start).set_callbacks(Checkpoint(path, self.every))
        try:
            model.fit(self.X, self.y)
        except (OSError, ValueError, RuntimeError) as error:
            return REFUSED if str(path) in str(error) else OTHER
        except BaseException:
            return OTHER
        return WRONG if differing(contents_of(model.set_callbacks()), self.expected) else SAME

    def child(self, path, prepare=lambda: None):
        """Start the fit in a process of its own; return its number."""
        pid = os.fork()
        if pid:
            return pid
        try:
            prepare()
            os._exit(self(path))
        finally:
            os._exit(OTHER)


def ended(pid):
    """Wait for a child; return how its fit ended, and None for one that was killed."""
    _, status = os.waitpid(pid, 0)
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else None


def finish(fit, path):
    """Go on from what is there: it has to be the fit that nothing disturbed, and no more files."""
    insist(fit(path) == SAME, "what was gone on from is another fit")
    insist(os.listdir(path.parent) == [path.name], "files are left", os.listdir(path.parent))


def killed(draw, fit, path):
    """A fit that is killed a few times goes on each time."""
    for _ in range(draw.between(1, 4)):
        pid = fit.child(path)
        time.sleep(draw.rng.uniform(0.0, 2.0 * fit.seconds))
        os.kill(pid, signal.SIGKILL)
        insist(ended(pid) in (None, SAME), "a killed fit was wrong")
    finish(fit, path)
    return "resumed"


def damaged(draw, fit, path):
    """A file with any byte changed is refused and stays, or gives the fit."""
    insist(fit(path) == SAME, "a checkpointed fit is another")
    content = bytearray(path.read_bytes())
    for _ in range(20):
        i = draw.between(0, len(content) - 1)
        bad = bytes(content[:i]) + bytes([content[i] ^ draw.between(1, 255)]) + content[i + 1 :]
        bad = bad if draw.chance(0.8) else bad[:i]
        path.write_bytes(bad)
        how = fit(path)
        insist(how in (SAME, REFUSED), "a damaged file gave", how, "at byte", i)
        insist(how == SAME or path.read_bytes() == bad, "a refused file was written to")
    return "refused"


def full(draw, fit, path):
    """On a full disk a fit stops, and what was saved before is there."""
    fit(path)
    size = path.stat().st_size
    path.unlink()

    def prepare():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        most = draw.between(1, size)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))

    how = ended(fit.child(path, prepare))
    insist(how in (REFUSED, SAME), "on a full disk a fit ended by", how)
    finish(fit, path)
    return "refused"


def read_only(draw, fit, path):
    """In a folder that cannot be written to a fit is refused."""
    os.chmod(path.parent, 0o555)
    try:
        how = ended(fit.child(path, lambda: os.geteuid() or os.setuid(NOBODY)))
    finally:
        os.chmod(path.parent, 0o755)
    insist(how == REFUSED, "in a read-only folder a fit ended by", how)
    finish(fit, path)
    return "refused"


def twice(draw, fit, path):
    """Of two runs on one path each has the result or stops, and one has it."""
    how = [ended(pid) for pid in [fit.child(path), fit.child(path)]]
    insist(set(how) <= {SAME, REFUSED}, "two runs ended by", how)
    insist(SAME in how, "of two runs none ended well")
    finish(fit, path)
    return "resumed"


KINDS = [killed, killed, killed, damaged, full, read_only, twice]


def case(seed, number):
    """Disturb a fit; return how, and what became of it."""
    draw = Draw(seed, number)
    kind = draw.one(KINDS)
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as directory:
        warnings.simplefilter("ignore")
        os.chmod(directory, 0o755)
        folder = Path(directory) / "of its own"
        folder.mkdir()
        return kind.__name__, kind(draw, Fit(draw), folder / "a fit")


def search(seed, ends, most=10**9):
    """Disturb fits until it `ends`; return how many ended how, and what is wrong."""
    counts: Counter = Counter()
    faults = []
    for number in range(most if hasattr(os, "fork") else 0):
        if ends():
            break
        try:
            counts["kills: {}, {}".format(*case(seed, number))] += 1
        except Exception as error:
            faults.append(f"kills: seed {seed}, case {number}: {error!r}")
    return counts, faults
