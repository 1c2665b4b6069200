"""Text files in their formats, and a validation split that parts no document."""

import gzip
from pathlib import Path

import pytest

from tasks import files, texts
from tasks.rows import Document

SHARED = Path(__file__).parents[2] / "../shared/data/text"
shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the public data sets are not here")

WIKI = """ \n = Robert Boulter = \n \n Robert Boulter is an actor . \n He acts . \n \n = = Career = = \n
 = 2 @.@ 5 in all \n \n = = = 2006 = = = \n \n In 2006 , <unk> . \n \n = Du Fu = \n \n Du Fu wrote . \n"""


def written(folder: Path, **contents: str) -> str:
    for name, content in contents.items():
        (folder / f"{name}.txt").write_text(content)
    return str(folder)


def test_articles_of_wikitext_begin_at_their_titles(tmp_path: Path) -> None:
    data = texts.read(written(tmp_path, train=WIKI, valid=WIKI))
    assert [row.text.split("\n")[0] for row in data["train"]] == ["= Robert Boulter =", "= Du Fu ="]
    assert data["train"][0].text.split("\n")[1:4] == ["Robert Boulter is an actor .", "He acts .", "= = Career = ="]
    assert data.keys() == {"train", "val"}


def test_blank_lines_stand_between_documents(tmp_path: Path) -> None:
    folder = written(tmp_path, valid="a\nb\n\n\nc\n")
    with gzip.open(tmp_path / "train.txt.gz", "wt") as file:
        file.write("\n\nd \ne\n \nf\n= g =\n")
    (tmp_path / "test.txt").write_text("\ufeffh\ni", encoding="utf-8")
    data = texts.read(folder)
    assert {split: [row.text for row in rows] for split, rows in data.items()} == {
        "train": ["d\ne", "f\n= g ="],
        "val": ["a\nb", "c"],
        "test": ["h\ni"],
    }


def test_a_share_of_documents_is_held_out_and_none_is_parted(tmp_path: Path) -> None:
    folder = written(tmp_path, train="\n\n".join(f"first {n}\nsecond {n}" for n in range(40)))
    data = texts.read(folder)
    assert [row.text for row in data["val"]] == ["first 0\nsecond 0", "first 1\nsecond 1"]
    assert len(data["train"]) == 38
    assert len(texts.read(folder, val_share=0.5)["val"]) == 20
    assert len(texts.read(folder, val_share=0.001)["val"]) == 1


def test_several_files_are_one_corpus_and_each_ends_a_document(tmp_path: Path) -> None:
    data = texts.read(written(tmp_path, b="c\n\nd", a="a\nb", c="e"), val_share=0.4)
    assert [row.text for row in data["val"]] == ["a\nb", "c"]
    assert [row.text for row in data["train"]] == ["d", "e"]


def test_files_may_have_other_names(tmp_path: Path) -> None:
    folder = written(tmp_path, x="a\nb", y="c\nd")
    data = texts.read(folder, names={"train": "y.txt", "val": "x.txt"})
    assert [data["train"][0].text, data["val"][0].text] == ["c\nd", "a\nb"]


def test_the_hub_has_lines_or_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"text": line + "\n"} for line in WIKI.split("\n")]
    monkeypatch.setattr(files, "hub", lambda *_: {"train": rows, "validation": rows})
    data = texts.read()
    assert [len(data[split]) for split in ("train", "val")] == [2, 2]
    monkeypatch.setattr(files, "hub", lambda *_: {"train": [{"text": "a\nb"}, {"text": "c"}]})
    data = texts.read(hub_documents=True, hub="x/y")
    assert data == {"train": [Document("c", "x/y train, row 1")], "val": [Document("a\nb", "x/y train, row 0")]}


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({"train": "only one line\n", "valid": "a\nb"}, r"train.txt: one line of text; a paragraph stands on each"),
        ({"train": "a\nb", "valid": "one"}, r"valid.txt: one line of text"),
        ({"train": " \n\n", "valid": "a\nb"}, r"train.txt: no text"),
        ({"x": "one"}, "one line of text"),
        ({"train": "a\nb"}, "one document cannot be parted"),
        ({"x": "a\nb"}, "one document cannot be parted"),
    ],
)
def test_illegal_text(tmp_path: Path, contents: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        texts.read(written(tmp_path, **contents))


def test_illegal_folders(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"neither train.txt nor train.txt.gz in .*; it has no files"):
        texts.read(str(tmp_path))
    assert texts.read(written(tmp_path, valid="a\nb")).keys() == {"val"}  # enough to evaluate
    with pytest.raises(FileNotFoundError, match="is not a folder"):
        texts.read(str(tmp_path / "nowhere"))


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0])
def test_illegal_share(share: float) -> None:
    with pytest.raises(ValueError, match=r"task\.data\.val_share="):
        texts.read("x", val_share=share)


def test_illegal_names() -> None:
    with pytest.raises(ValueError, match=r"unknown key 'task.data.names.valid'; did you mean 'val'"):
        texts.read("x", names={"valid": "a"})


@shared
@pytest.mark.shared
def test_the_published_files() -> None:
    wiki = texts.read(str(SHARED / "wikitext-2"), names={"train": "test.txt", "val": "valid.txt"})
    assert [len(wiki[split]) for split in ("train", "val")] == [60, 60]  # articles, as published
    books = texts.read(str(SHARED / "books"))
    assert [len(books[split]) for split in ("train", "val")] == [57, 6]
