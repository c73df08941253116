"""`perm plan`: what a run would cost, worked out without a call."""

from perm_cli.cli.options import AsJson, DialogueOptions, Files, JudgeOptions


def plan(files: Files, dialogues: DialogueOptions, judge: JudgeOptions, as_json: AsJson = False) -> None:
    """Estimate the calls, tokens and cost of `perm score`. Makes no call and needs no key."""
    from perm_cli.cli.console import messages, output, say
    from perm_cli.cli.from_options import opened_sources, order_of
    from perm_cli.judges.prices import retirement_note
    from perm_cli.reports.planned import plan_json, plan_lines
    from perm_cli.scoring.job import prepare
    from perm_cli.scoring.plan import plan_of

    with opened_sources(files) as sources:
        order = order_of(sources, dialogues, judge)
        found = plan_of(prepare(order))
    if as_json:
        print(plan_json(found), end="")
        return
    for line in plan_lines(found):
        say(output(), line)
    if note := retirement_note(order.judge):
        say(messages(), note)
