"""Terms are explained where they first stand, and nowhere else."""

from perm_cli.reports.terms import TERMS, grouped


def test_a_term_is_explained_in_the_first_group_that_uses_it() -> None:
    """A reader meets it there; a group without sentences is none."""
    found = [
        ("first", ["people agree with alpha 0.50", "alphabet and rho-like words are no terms"]),
        ("empty", []),
        ("second", ["alpha again, and rho 0.3"]),
    ]

    first, second = grouped(found)

    assert (first.title, dict(first.terms)) == ("first", {"alpha": TERMS["alpha"]})
    assert (second.title, dict(second.terms)) == ("second", {"rho": TERMS["rho"]})
