"""One call to a judge, about a dialogue made up for it, to find out what its endpoint can do."""

from dataclasses import dataclass, replace

from perm_cli.dialogues.dialogue import Dialogue, Turn
from perm_cli.errors import CallFailed, JudgeUnusable
from perm_cli.judges.dialects import Dialect
from perm_cli.judges.judge import Reply, Request
from perm_cli.judges.routes import open_judge
from perm_cli.judges.settings import JudgeSettings
from perm_cli.prompts.book import open_book
from perm_cli.prompts.rubrics import DEFAULT_PACK
from perm_cli.prompts.shipped import shipped
from perm_cli.ratings.rating import GROWTH, schema_of
from perm_cli.ratings.verdicts import Verdict, read_verdict
from perm_cli.text import one_line

_DIALOGUE = Dialogue(
    id="trial",
    turns=(
        Turn(role="seeker", text="I did not get the job, and I had already told everyone."),
        Turn(role="supporter", text="That stings twice: the job, and now having to tell them."),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What came of the call: the reply, the verdict read from it, and the dialect in which it was asked for."""

    reply: Reply
    verdict: Verdict
    dialect: Dialect

    def lines(self) -> list[str]:
        """Return what the endpoint can do, one line per feature."""
        schema, json_mode = self._forms()
        scored = self.verdict.status == "scored"
        why = f"no score: {self.verdict.status} ({self.verdict.note})"
        return [
            f"model              {one_line(self.reply.model_served) or 'not named in the answer'}",
            f"JSON schema        {schema}",
            f"JSON mode          {json_mode}",
            f"log-probabilities  {'yes' if self.reply.tokens else 'no: --score expected is not possible'}",
            f"refused            {', '.join(sorted(self.dialect.dropped)) or 'no parameter'}",
            f"verdict            {f'a score of {self.verdict.score}' if scored else why}",
        ]

    def _forms(self) -> tuple[str, str]:
        """Return what is known of the endpoint's JSON schema and JSON mode."""
        refused = "no, the endpoint refuses it"
        match self.dialect.form:
            case "schema":
                followed = self.verdict.status == "scored"
                schema = "yes" if followed else "accepted, but the reply does not follow it"
                return schema, "not tried, the schema is better"
            case "json":
                return refused, "yes"
            case "text":
                return refused, refused


async def probe(settings: JudgeSettings) -> Probe:
    """Make the call; raise `JudgeUnusable` if it fails."""
    book = open_book(shipped("rubrics") / DEFAULT_PACK)
    question = next(book.questions(_DIALOGUE, only=book.pack.trajectory_dimension))
    request = Request(prompt=book.prompt(question), schema=schema_of(question.dimension))
    async with open_judge(settings) as judge:
        try:
            reply = await judge.ask(request)
            verdict = read_verdict(reply.text, question.dimension, reply.finish_reason)
            if verdict.status == "truncated":  # a run gives it more room too
                reply = await judge.ask(replace(request, max_tokens=settings.max_tokens * GROWTH))
                verdict = read_verdict(reply.text, question.dimension, reply.finish_reason)
        except CallFailed as failure:
            raise JudgeUnusable(f"{settings.name}: {failure.message}") from failure
        return Probe(reply=reply, verdict=verdict, dialect=judge.dialect)
