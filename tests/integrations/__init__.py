"""Tests against the real trainers, each in an environment of its own: `make test-integrations`."""
