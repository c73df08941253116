"""The reward over HTTP: `app` answers, `bodies` are what is asked and said, `guard` keeps out what must not come in."""
