"""Names and values from anywhere cannot steer the terminal that they are printed on."""

import io
from pathlib import Path

import pytest
from rich.table import Table

import jobs
from jobs.cli import main
from jobs.plain import plain
from jobs.terminal import Terminal

EVIL = "\x1b]0;owned\x07\x1b[2Jscan\r.png\x9b1m"
WRITTEN = r"\x1b]0;owned\x07\x1b[2Jscan\x0d.png\x9b1m"


def test_control_characters_are_written_out_and_lines_and_tabs_stay() -> None:
    assert plain(EVIL) == WRITTEN
    assert plain("two\nlines\tof 값 😀") == "two\nlines\tof 값 😀"


def test_a_table_with_such_a_name_has_no_codes_but_its_own_colours() -> None:
    out = io.StringIO()
    table = Table(box=None)
    table.add_column("file")
    table.add_row("scan\x1b[2J.png", style="red")
    console = Terminal(file=out, force_terminal=True, width=100, color_system="standard")
    console.print(table)
    console.print(f"not answered: {EVIL}", style="yellow")
    assert r"scan\x1b[2J.png" in out.getvalue() and "\x1b[2J" not in out.getvalue()
    assert "\x1b[31m" in out.getvalue() and "\x07" not in out.getvalue()


@pytest.mark.parametrize(
    "words",
    [("plan", f"{EVIL}.yaml"), ("show", EVIL), ("schedule", "remove", EVIL), (EVIL,),
     ("render", f"{EVIL}.yaml", "--to", "systemd"), ("cluster", "check", EVIL), ("tasks", EVIL)],
    ids=lambda words: words[0][:8].strip("\x1b]"),
)  # fmt: skip
def test_no_error_repeats_a_code(
    words: tuple[str, ...], monkeypatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GRISTMILL_HOME", str(tmp_path))
    try:
        code = main(list(words))
    except SystemExit as left:
        code = left.code
    said = capsys.readouterr()
    assert code == 2 and said.err
    assert not {"\x1b", "\x07", "\x9b", "\r"} & {*said.err, *said.out}


def test_all_that_is_printed_in_tables_goes_through_this_console() -> None:
    files = Path(jobs.__path__[0]).rglob("*.py")
    others = [f.name for f in files if "import Console" in f.read_text() and f.stem != "terminal"]
    assert others == []
