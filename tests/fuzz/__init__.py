"""Fuzzing guided by coverage: `python -m tests.fuzz READER`. The claims are those of `tests/test_fuzz.py`."""
