"""
Models that answer prompts, behind one interface: `judge.Judge`.

A kind of judge is a `route.Route`; `routes` lists them. The options of a judge are those of `settings.JudgeSettings`.
"""
