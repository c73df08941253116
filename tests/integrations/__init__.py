"""
Tests against real trainers, each in an environment of its own (`make test-integrations`).

Where a trainer is not installed its tests are skipped. `environments/NAME.txt` says what its environment holds, and
`NAME-alone.txt`, where there is one, what is installed without all that it asks for.
"""
