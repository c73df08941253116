"""Models that answer prompts, behind one interface: `judge.Judge`. How each is reached is a route."""
