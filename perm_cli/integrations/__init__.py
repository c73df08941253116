"""
Adapters to trainers: thin modules over `perm_cli.reward`, none of which needs its trainer to be installed elsewhere.

They convert a trainer's rows to items (`rows`), ask for rewards, and return what the trainer expects. None of them
changes a reward: a reply has the same reward in all of them, in `perm serve` and in `perm score`.
"""
