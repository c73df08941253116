"""
Adapters to trainers: each a thin file over `perm_cli.reward` that imports its trainer only when that calls it.

They read what the trainer hands over (`rows`), ask for rewards, and give back what the trainer expects. None of them
adds anything to a reward: a reply is worth the same in all of them, in `perm serve` and in `perm score`.
"""
