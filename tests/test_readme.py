"""The README's example runs as printed, and its commands exist."""
import re

from chapters import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_example_runs(capsys, tmp_path, monkeypatch):
    "From an empty folder; it ends on the gap and the p-value of a permutation test with 999 permutations"
    monkeypatch.chdir(tmp_path)
    [source] = re.findall(r"```python\n(.*?)```", README, re.S)
    assert len(source.splitlines()) <= 13
    names = {}
    exec(source, names)
    assert names["rec"].images.shape == names["target"].truth().images.shape
    assert 1 <= round(1000 * float(re.search(r"\bp=([\d.]+)", capsys.readouterr().out)[1])) <= 1000
    assert not list(tmp_path.iterdir())


def test_its_commands_exist():
    targets = re.findall(r"^([a-z]+):.*##", (ROOT / "Makefile").read_text(), re.M)
    assert set(re.findall(r"^    make (\w+)", README, re.M)) <= set(targets)
    commands = re.findall(r"add_parser\(\"(\w+)\"", (ROOT / "drlit" / "cli.py").read_text())
    assert set(re.findall(r"`drlit (\w+)`", README)) <= set(commands)


def test_its_links_lead_somewhere():
    for link in re.findall(r"\]\(([^)#]+)\)", README):
        assert link.startswith("https://") or (ROOT / link).exists(), link
