"""What is read of LiteLLM's own files is in the LiteLLM that is installed: a release that moves it must not pass."""

from perm_cli import litellm_files


def test_the_price_list_is_there_and_has_prices() -> None:
    """Without it every judge would have no price, budgets in dollars would be refused and plans would name no cost."""
    priced = [name for name, entry in litellm_files.price_list().items() if entry.get("input_cost_per_token")]

    assert len(priced) > 1000
    assert {"gpt-4o-mini", "claude-sonnet-4-5", "gemini/gemini-2.5-flash"} <= {*priced}


def test_the_enumeration_of_providers_is_there() -> None:
    """Without it a judge of a provider that has no priced model would be refused as nobody's."""
    assert {"openai", "anthropic", "nano-gpt", "hosted_vllm"} <= litellm_files.enumerated_providers()
    assert litellm_files.enumerated_providers() <= litellm_files.providers()


def test_the_tokenizer_is_there() -> None:
    """Without it tiktoken would download the encoding. It is named by the SHA-1 of the address of `cl100k_base`."""
    folder = litellm_files.tokenizer_folder()

    assert folder is not None
    assert (folder / "9b5ad71b2ce5302211f9c61530b329a4922fc6a4").is_file()
