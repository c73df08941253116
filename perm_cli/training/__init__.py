"""The reward inside a trainer: prompts, judge, reader and fusion are those of `perm score`, asked reply by reply."""
