"""Random search for faults: `python -m tests.hard --minutes N --seed S`."""
