"""Models that answer prompts, behind one interface: `judge.Judge`. A kind of judge is a `route.Route`, listed in `routes`."""
