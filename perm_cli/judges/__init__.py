"""
Models that answer prompts, behind one interface: `judge.Judge`.

Each kind of judge is a `route.Route`, listed in `routes`. `settings.JudgeSettings` defines the options of a judge.
"""
