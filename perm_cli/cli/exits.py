"""The exit codes of commands that end without an error; an error is 1, wrong usage 2."""

DONE = 0
COVERAGE_TOO_LOW = 3
CHECK_FAILED = 3
INTERRUPTED = 130
