"""Files in their original formats, and what is said about those that are not."""

import gzip
from pathlib import Path
from typing import Any

import pytest

from tasks import files


def test_plain_or_gzip_whichever_exists(tmp_path: Path) -> None:
    (tmp_path / "b.tsv.gz").write_bytes(gzip.compress(b"x\ty\n1\t2\n", mtime=0))
    (tmp_path / "a.tsv").write_text("x\ty\n1\t2\n")
    for name in ("a.tsv", "b.tsv"):
        assert [row for _, row in files.tsv(files.locate(tmp_path, name))] == [{"x": "1", "y": "2"}]


def test_plain_wins_over_gzip(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").touch()
    (tmp_path / "a.tsv.gz").touch()
    assert files.locate(str(tmp_path), "a.tsv").name == "a.tsv"


def test_quotes_are_text_and_only_line_feeds_end_a_line(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text('x\ty\n"one\ttwo"\x85 \u2028th\rree\r\n', newline="")
    assert list(files.tsv(path)) == [(f"{path}, line 2", {"x": '"one', "y": 'two"\x85 \u2028th\rree'})]


def test_without_header_columns_have_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("g\t1\t\tText.\n")
    assert list(files.tsv(path, header=False)) == [(f"{path}, line 1", {0: "g", 1: "1", 2: "", 3: "Text."})]


def test_csv_cells_may_hold_commas_quotes_and_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('x,y\r\n"1, 2","say ""no"",\n\ntwice"\r\n\r\n\u2028,\'3\n', newline="")
    assert list(files.records(path)) == [
        (f"{path}, line 2", {"x": "1, 2", "y": 'say "no",\n\ntwice'}),
        (f"{path}, line 6", {"x": "\u2028", "y": "'3"}),
    ]


def test_jsonl_skips_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n\n{"a": 2}\n')
    assert list(files.records(path)) == [(f"{path}, line 1", {"a": 1}), (f"{path}, line 3", {"a": 2})]


@pytest.mark.parametrize(("name", "content"), [("a.tsv", "x\n\ufeff1\n"), ("a.jsonl", '{"x": "\ufeff1"}\n')])
@pytest.mark.parametrize("compressed", [False, True])
def test_a_byte_order_mark_begins_a_file_silently(tmp_path: Path, name: str, content: str, compressed: bool) -> None:
    path = tmp_path / (f"{name}.gz" if compressed else name)
    text = content.encode("utf-8-sig")
    path.write_bytes(gzip.compress(text) if compressed else text)
    assert [row for _, row in files.records(path)] == [{"x": "\ufeff1"}]


def test_both_halves_of_a_surrogate_pair_are_one_character(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(r'{"a": "\ud83d\ude00"}')
    assert [row for _, row in files.jsonl(path)] == [{"a": "\U0001f600"}]


def test_the_first_name_that_exists_wins(tmp_path: Path) -> None:
    (tmp_path / "b.tsv").touch()
    assert files.locate(tmp_path, "a.jsonl", "b.tsv").name == "b.tsv"
    (tmp_path / "a.jsonl.gz").touch()
    assert files.locate(tmp_path, "a.jsonl", "b.tsv").name == "a.jsonl.gz"
    with pytest.raises(FileNotFoundError, match=r"neither c.csv nor c.csv.gz nor d.tsv nor d.tsv.gz in"):
        files.locate(tmp_path, "c.csv", "d.tsv")


def test_illegal_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"task.data_dir=.*nowhere is not a folder; .*train.tsv"):
        files.locate(tmp_path / "nowhere", "train.tsv")


def test_illegal_missing_file_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"neither train.tsv nor train.tsv.gz .*; it has no files"):
        files.locate(tmp_path, "train.tsv")
    for name in ("training.tsv", "zzz.bin"):
        (tmp_path / name).touch()
    with pytest.raises(FileNotFoundError, match=r"; it has training.tsv$"):
        files.locate(tmp_path, "train.tsv")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"a": 1}\n{"a": \n', r"a.jsonl, line 2: not valid JSON"),
        ("a.jsonl", "{}\n[1]\n", r"a.jsonl, line 2: expected a JSON object, found list"),
        ("a.jsonl", "\n", r"a.jsonl: the file is empty"),
        ("a.tsv", "x\ty\n1\t2\n1\t2\t3\n", r"a.tsv, line 3: 3 columns where the first line has 2"),
        ("a.tsv", "x\ty\n1\n", r"a.tsv, line 2: 1 columns where the first line has 2"),
        ("a.tsv", "x\ty\n", r"a.tsv: the file is empty after its header"),
        ("a.tsv", "", r"a.tsv: the file is empty$"),
        ("a.tsv", b"x\n" + b"y\n" * 5000 + b"\xff\xfe\n", r"a.tsv, line 5002: not UTF-8"),
        ("a.jsonl.gz", gzip.compress(b"{}\n\xff\n", mtime=0), r"a.jsonl.gz, line 2: not UTF-8"),
        ("a.jsonl", "{}\n" + "[" * 100_000, r"a.jsonl, line 2: JSON that cannot be read \(maximum recursion"),
        ("a.jsonl", '{}\n{"a": ["x\\ud800"]}', r"a.jsonl, line 2: JSON that cannot be read \(.*surrogates"),
        ("a.jsonl", '{}\n{"\\uDFFF": 1}', r"a.jsonl, line 2: JSON that cannot be read \(.*surrogates"),
        ("a.jsonl", '{}\n{"a": ' + "9" * 5000 + "}", r"a.jsonl, line 2: JSON that cannot be read \(.*4300 digits"),
        ("a.csv", 'x,y\n1,2\n"3,\n4', r"a.csv, line 3: not a CSV row"),
        ("a.csv", 'x,y\n"1"2,3\n', r"a.csv, line 2: not a CSV row"),
        ("a.csv", "x,y\n1\n", r"a.csv, line 2: 1 columns where the first line has 2"),
        ("a.csv", "x,y\n\n", r"a.csv: the file is empty after its header"),
        ("a.tsv.gz", b"no gzip", r"a.tsv.gz: not a whole gzip file"),
        ("a.tsv.gz", gzip.compress(b"x\ty\n1\t2\n" * 9, mtime=0)[:-12], r"a.tsv.gz: not a whole gzip file"),
        ("a.tsv.gz", gzip.compress(b"x\n", mtime=0)[:10] + b"\xff" * 20, r"a.tsv.gz: not a whole gzip file"),
    ],
)
def test_illegal_content(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(ValueError, match=message):
        list(files.records(path))


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("sentense", str, "here: no field 'sentense'; did you mean 'sentence'?"),
        ("zz", str, "here: no field 'zz'; there are sentence, 7"),
        ("sentence", list, "here: field 'sentence' is str, expected list"),
    ],
)
def test_illegal_field(name: str, kind: type, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        files.field(("here", {"sentence": "x", 7: "y"}), name, kind)


def test_label() -> None:
    labels = ["entailment", "not_entailment"]
    assert files.label(("here", {}), "not_entailment", labels) == 1
    assert files.label(("here", {}), 1, ["0", "1"]) == 1


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("entailmnt", "here: unknown label 'entailmnt'; did you mean 'entailment'?"),
        (-1, "unknown label '-1'; there are"),
    ],
)
def test_illegal_label(value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        files.label(("here", {}), value, ["entailment", "neutral"])


def test_illegal_hub_without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.hub.reachable", lambda: False)
    with pytest.raises(ValueError, match=r"data set 'no-one/nothing, rte' is not in the local cache .*task.data_dir"):
        files.hub("no-one/nothing", "rte")


def test_illegal_split() -> None:
    with pytest.raises(ValueError, match=r"data set 'x' has no split 'validatio'; did you mean 'validation'\?"):
        files.split({"validation": []}, "validatio", "x")
