"""The book's notebook reader and its translation of Quarto Markdown, on cases written out by hand."""
import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
spec = importlib.util.spec_from_file_location("drlit_book", ROOT / "nbs" / "_ext" / "drlit_book.py")
book = importlib.util.module_from_spec(spec)
spec.loader.exec_module(book)

PROSE = {
    "see [@wen2025sok].": "see {cite:p}`wen2025sok`.",
    "both [@a2020x; @b2021y]": "both {cite:p}`a2020x,b2021y`",
    "@wen2025sok say so": "{cite:t}`wen2025sok` say so",
    "as @fig-grid shows": "as {numref}`fig-grid` shows",
    "by @eq-gap and @sec-split": "by {eq}`eq-gap` and {ref}`sec-split`",
    "in @tbl-floor.": "in {numref}`tbl-floor`.",
    "mail a@example.org, see https://x.org/@me": "mail a@example.org, see https://x.org/@me",
    "the `@patch` decorator": "the `@patch` decorator",
    "``a ` [@b]`` and [@c]": "``a ` [@b]`` and {cite:p}`c`",
    "```python\n@register\nclass A: pass\n```\n@key": "```python\n@register\nclass A: pass\n```\n{cite:t}`key`",
    "## The split {#sec-split}": "(sec-split)=\n## The split",
    "$$\na = b\n$$ {#eq-ab}": "$$\na = b\n$$ (eq-ab)",
    "$$ a = b . $$ {#eq-ab}\n\nText": "$$ a = b . $$ (eq-ab)\n\nText",
    "no label: $$ a = b $$": "no label: $$ a = b $$",
    "::: {.callout-note}\nText\n:::": ":::{admonition} Note\n:class: note\nText\n:::",
    "::: {.callout-warning}\n## Beware\nText\n:::": ":::{admonition} Beware\n:class: warning\nText\n:::",
    "[chapter](10_sample_metrics.ipynb#psnr)": "[chapter](10_sample_metrics.ipynb#psnr)",
}


@pytest.mark.parametrize("quarto", PROSE)
def test_prose(quarto):
    assert book.quarto_to_myst(quarto) == PROSE[quarto]


def read(*cells, **fields):
    "The cells that the reader makes of these sources"
    made = [{"cell_type": "code", "id": f"c{i}", "metadata": {}, "source": s, "outputs": [], "execution_count": None, **fields} for i, s in enumerate(cells)]
    return book.read_ipynb(json.dumps({"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})).cells


@pytest.mark.parametrize("source", ["#| include: false\nx = 1", "#| hide\nx = 1", "#| default_exp core", "#| export"])
def test_cells_not_shown(source):
    assert read(source) == []


@pytest.mark.parametrize("source, tags", [
    ("x = 1", None),
    ("#| export\nx = 1", ["export"]),
    ("#| exporti\nx = 1", ["export"]),
    ("#| test\ndef test_x(): pass", ["test"]),
    ("#| echo: false\nx", ["remove-input"]),
    ("#| output: false\nx", ["remove-output"]),
    ("#| code-fold: true\nx", ["hide-input"]),
    ("#| code-fold: false\nx", None),
    ("#| slow\n#| echo: false\nx", ["remove-input"]),
])
def test_tags(source, tags):
    [cell] = read(source)
    assert cell.metadata.get("tags") == tags
    assert "#|" not in cell.source


def test_numbered_figure():
    [cell] = read("#| label: fig-grid\n#| fig-cap: \"Targets, beside what came back\"\nshow()")
    assert cell.metadata["mystnb"] == {"figure": {"name": "fig-grid", "caption": "Targets, beside what came back"}}


def test_output_of_show_doc_has_no_headings():
    "Docutils stops with an AssertionError at a heading inside an output"
    out = {"output_type": "display_data", "metadata": {}, "data": {"text/markdown": "---\n\n### f\n\n[s](u){target=\"_blank\"}"}}
    [cell] = read("show_doc(f)", outputs=[out])
    assert cell.outputs[0]["data"]["text/markdown"] == "**f**\n\n[s](u)"


def test_repository_is_read_from_pyproject(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[project.urls]\nRepository = "https://example.org/a/b"\n')
    assert book.repository(tmp_path / "nbs") == "https://example.org/a/b"
