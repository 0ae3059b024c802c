"""Checkpoints and skops files that somebody has changed: no code is run, and an error is clear."""

import copy
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import skops.io

from skdnn import Checkpoint, DNNClassifier
from skdnn.checkpoint import _File
from tests.cases import contents_of, differing
from tests.hard.estimators import insist
from tests.hard.tables import Draw

# What would be code that a file has run.
CODE = ("pickle.find_class", "os.system", "os.exec", "subprocess.Popen", "marshal.loads")
SECONDS = 20.0
_seen: list[str] = []
_watches = False


def _audit(event, args):
    if _watches and event in CODE:
        _seen.append(event)


def watched(function):
    """Call; report what would be code of the file, and a hang. Return the error, if any."""
    global _watches
    _seen.clear()
    begin, _watches = time.monotonic(), True
    try:
        function()
        error = None
    except Exception as found:
        error = found
    finally:
        _watches = False
    insist(not _seen, "code was run:", _seen)
    insist(time.monotonic() - begin < SECONDS, "a file took too long to read")
    return error


def mutated(draw, content):
    """Return bytes with some of them changed, taken out, put in, or cut off."""
    content = bytearray(content)
    for _ in range(draw.one([1, 1, 2, 8])):
        i = draw.between(0, len(content) - 1)
        how = draw.between(0, 4)
        if how == 0:
            content[i] ^= 1 << draw.between(0, 7)
        elif how == 1:
            content[i] = draw.between(0, 255)
        elif how == 2:
            del content[i : i + draw.between(1, 30)]
        elif how == 3:
            content[i:i] = draw.rng.bytes(draw.between(1, 30))
        else:
            del content[max(i, 1) :]
        if not content:
            return b"PK"
    return bytes(content)


class Files:
    """A checkpoint and a skops file of one small fit, to be changed."""

    def __init__(self, directory):
        rng = np.random.default_rng(0)
        self.X, self.y = rng.normal(size=(20, 2)), np.arange(20) % 3
        self.path = Path(directory) / "a fit"
        self.start = DNNClassifier.plain(hidden_layer_sizes=(3,), max_iter=2, random_state=0)
        fitted = copy.deepcopy(self.start).set_callbacks(Checkpoint(self.path)).fit(self.X, self.y)
        self.expected = contents_of(fitted.set_callbacks())
        self.checkpoint = self.path.read_bytes()
        self.skops = skops.io.dumps(fitted)
        self.trusted = skops.io.get_untrusted_types(data=self.skops)

    def damaged(self, draw):
        """A changed checkpoint is refused with its path, or is the one that it was."""
        self.path.write_bytes(mutated(draw, self.checkpoint))
        found = []
        error = watched(lambda: found.append(_File(str(self.path)).read()))
        if error is None:
            return "read as it was" if found[0] else "empty"
        clear = isinstance(error, ValueError) and str(self.path) in str(error)
        insist(clear, "a checkpoint gave", repr(error))
        return "refused"

    def forged(self, draw):
        """A checkpoint by somebody who knows the format: a clear error, or a fit."""
        self.path.write_bytes(self.checkpoint)
        file = _File(str(self.path))
        kept = file.read()
        forge(draw, kept)
        file.write(kept)
        model = copy.deepcopy(self.start).set_callbacks(Checkpoint(self.path))
        error = watched(lambda: model.fit(self.X, self.y))
        if error is None:
            is_same = not differing(contents_of(model.set_callbacks()), self.expected)
            return "as it was" if is_same else "taken"
        clear = isinstance(error, ValueError | TypeError) and str(self.path) in str(error)
        insist(clear, "a forged checkpoint gave", repr(error))
        return "refused"

    def of_skops(self, draw):
        """A changed skops file runs no code and does not hang."""
        content = mutated(draw, self.skops)
        error = watched(lambda: skops.io.loads(content, trusted=self.trusted))
        return "read" if error is None else "refused"


def forge(draw, kept):
    """Change one value among plain values, wherever it is."""
    places = []

    def walk(part):
        for key in part if isinstance(part, dict) else range(len(part)):
            places.append((part, key))
            if isinstance(part[key], dict | list):
                walk(part[key])

    walk(kept)
    part, key = draw.one(places)
    new = [None, -1, 10**30, "x", [], {}, True, 1.5, float("nan"), np.zeros(3), np.zeros((0, 2))]
    if draw.chance(0.2) and isinstance(part, dict):
        del part[key]
    else:
        part[key] = draw.one(new)


KINDS = [Files.damaged, Files.damaged, Files.of_skops, Files.of_skops, Files.forged]


def search(seed, ends, most=10**9):
    """Change files until it `ends`; return how many were taken how, and what is wrong."""
    sys.addaudithook(_audit)
    counts: Counter = Counter()
    faults = []
    with tempfile.TemporaryDirectory() as directory, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        files = Files(directory)
        for number in range(most):
            if ends():
                break
            draw = Draw(seed, number)
            kind = draw.one(KINDS)
            try:
                counts[f"strangers: {kind.__name__}, {kind(files, draw)}"] += 1
            except Exception as error:
                faults.append(f"strangers: seed {seed}, case {number}: {error!r}")
    return counts, faults
