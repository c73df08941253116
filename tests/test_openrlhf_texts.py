"""Full texts as OpenRLHF hands them over: what the policy wrote is what follows the prompt."""

import pytest

from perm_cli.errors import SettingsError
from perm_cli.integrations.openrlhf import items_of

PROMPT = "<|im_start|>user\nI failed.<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize(
    "end",
    [
        "",
        "<|im_end|>",
        "</s>",
        "<\uff5cend\u2581of\u2581sentence\uff5c>",
        "[EOS]",
        "<turn|>",
        "<|im_end|>\n<|endoftext|>  ",
    ],
    ids=repr,
)
@pytest.mark.parametrize("start", ["", "<s>", " "], ids=repr)
def test_the_reply_is_what_follows_the_prompt(start: str, end: str) -> None:
    """Whatever token or space the tokenizer puts around it."""
    (item,) = items_of([f"{start}{PROMPT}That hurts.{end}"], [PROMPT], ['{"query": "I failed."}'])

    assert (item.reply, item.query) == ("That hurts.", "I failed.")


def test_a_text_without_its_prompt_is_refused() -> None:
    """Judged as a whole, the prompt would count as the policy's words, headings and all."""
    with pytest.raises(SettingsError, match="the text does not contain its prompt"):
        items_of(["That hurts."], [PROMPT], None)
