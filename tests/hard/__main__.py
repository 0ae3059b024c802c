"""Run all parts for some minutes, print what was done and what is wrong; exit 0 if nothing is."""

import argparse
import itertools
import platform
import sys
from collections import Counter

from tests.hard import fuzz, kills, races, soak, strangers

# The share of the time that each part has.
PARTS = {
    "fuzz": (0.6, lambda seed, ends: fuzz.search(seed, itertools.count(), ends)),
    "kills": (0.15, kills.search),
    "strangers": (0.1, strangers.search),
    "soak": (0.1, soak.search),
    "races": (0.05, races.search),
}


def parse():
    parser = argparse.ArgumentParser(prog="python -m tests.hard", description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0, help="for all parts together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parts", default=",".join(PARTS), help="names of parts, by commas")
    parser.add_argument("--case", type=int, help="run this case of the fuzzer alone")
    return parser.parse_args()


def main():
    given = parse()
    if given.case is not None:
        print(*fuzz.case(given.seed, given.case))
        return 0
    names = given.parts.split(",")
    shares = sum(PARTS[name][0] for name in names)
    counts, faults = Counter(), []
    print(f"Python {platform.python_version()}, {processor()}, seed {given.seed}")
    for name in names:
        share, search = PARTS[name]
        found, wrong = search(given.seed, soak.Until(60.0 * given.minutes * share / shares))
        counts += found
        faults += wrong
    for what, count in sorted(counts.items()):
        print(f"{count:8d}  {what}")
    print(f"{sum(counts.values()):8d}  right, {len(faults)} wrong")
    print("\n".join(faults))
    return int(bool(faults))


def processor():
    """Return the processor's name, as far as the system tells it."""
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":")[1].strip() for line in file if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor()


if __name__ == "__main__":
    sys.exit(main())
