from __future__ import annotations

from pathlib import Path

from tests.docs.links import dead_links, pages_below

ROOT = Path(__file__).parents[2]


def test_no_link_of_the_documentation_is_dead() -> None:
    pages = pages_below([str(ROOT / name) for name in ("README.md", "CHANGELOG.md", "docs")])

    assert list(dead_links(pages)) == []


def test_a_dead_link_is_found_and_named(tmp_path: Path) -> None:
    (tmp_path / "there.md").write_text("# A heading, with `code`\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[ok](there.md) [ok](there.md#a-heading-with-code) [no](gone.md) [no](there.md#other) [net](https://x.y)\n"
        "```\n[in code](nowhere.md)\n```\n"
    )

    assert [line.split(": ")[1] for line in dead_links([page])] == ["gone.md", "there.md#other"]
