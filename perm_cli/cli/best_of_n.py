"""`perm best-of-n`: every prompt with its replies, the best of them marked."""

from perm_cli.cli.options import JsonLines, Overwrite, RewardOptions, Runs, Style


def best_of_n(
    runs: Runs, reward: RewardOptions, style: Style = "analysis", out: JsonLines = "-", force: Overwrite = False
) -> None:
    """Write every prompt with its replies and their rewards, the best one marked. Makes no call."""
    from perm_cli.cli.preferences import announce_preferences, rewarded, write_preferences
    from perm_cli.reports.figures import counted
    from perm_cli.training.preferences import Count, best_of, best_row, prompts_of

    found, count = rewarded(runs, reward), Count()
    made = best_of(prompts_of(found.scores, found.dialogues()), count)
    write_preferences((best_row(*each, style) for each in made), out, force=force)
    announce_preferences(found, count, counted(count.prompts, "prompt"), out)
