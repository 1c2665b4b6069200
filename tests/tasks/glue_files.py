"""Small folders of GLUE in the official layouts, quirks included."""

from pathlib import Path

TEXTS = ['he said "no', "it 's a b", "the cat 's hat", 'a "big" dog', "rain , again", "so it goes"]
PARSES = ["( a )", "( b )", "(ROOT a)", "(ROOT b)"]
FOLDERS = {
    **{"cola": "CoLA", "sst2": "SST-2", "mrpc": "MRPC", "qqp": "QQP", "stsb": "STS-B"},
    **{"mnli": "MNLI", "qnli": "QNLI", "rte": "RTE", "wnli": "WNLI"},
}
CLASSES = {
    **dict.fromkeys(("cola", "sst2", "mrpc", "qqp", "wnli"), ("0", "1")),
    **dict.fromkeys(("qnli", "rte"), ("entailment", "not_entailment")),
    "mnli": ("entailment", "neutral", "contradiction"),
    "stsb": ("0.000", "2.500", "5.000"),
}


def write(folder: Path, task: str, rows: int = 12, test: bool = True) -> Path:
    """Writes training, validation and, without labels, test files of a task; returns their folder."""
    place = folder / FOLDERS[task]
    place.mkdir(parents=True)
    parts = {"train": rows, "dev": rows - 2} | ({"test": rows - 4} if test else {})
    for part, count in parts.items():
        halves = ("_matched", "_mismatched") if task == "mnli" and part != "train" else ("",)
        for half in halves:
            lines = [line(task, part, index) for index in range(count)]
            head = header(task, part)
            text = "".join("\t".join(cells) + "\n" for cells in ([head] if head else []) + lines)
            (place / f"{part}{half}.tsv").write_text(text, newline="")
    return place


def header(task: str, part: str) -> list[str]:
    test = part == "test"
    mnli = ["index", "promptID", "pairID", "genre", "sentence1_binary_parse", "sentence2_binary_parse"]
    mnli += ["sentence1_parse", "sentence2_parse", "sentence1", "sentence2"]
    stsb = ["index", "genre", "filename", "year", "old_index", "source1", "source2", "sentence1", "sentence2"]
    labels = {"train": ["label1"], "dev": [f"label{number}" for number in range(1, 6)], "test": []}
    names = {
        "cola": ["index", "sentence"] if test else [],
        "sst2": ["index", "sentence"] if test else ["sentence", "label"],
        "mrpc": ["index" if test else "Quality", "#1 ID", "#2 ID", "#1 String", "#2 String"],
        "qqp": [
            "id",
            *([] if test else ["qid1", "qid2"]),
            "question1",
            "question2",
            *([] if test else ["is_duplicate"]),
        ],
        "stsb": [*stsb, *([] if test else ["score"])],
        "mnli": [*mnli, *labels[part], *([] if test else ["gold_label"])],
        "qnli": ["index", "question", "sentence", *([] if test else ["label"])],
    }
    return names.get(task, ["index", "sentence1", "sentence2", *([] if test else ["label"])])


def line(task: str, part: str, index: int) -> list[str]:
    """A row; its first text is TEXTS[index % 6] and its label CLASSES[task][index % 2 or 3]."""
    test, number = part == "test", str(index)
    one, two = TEXTS[index % len(TEXTS)], TEXTS[(index + 1) % len(TEXTS)]
    label = CLASSES[task][index % len(CLASSES[task])]
    given = [] if test else [label]
    cells = {
        "cola": [number, one] if test else ["gj04", label, "" if label == "1" else "*", one],
        "sst2": [number, one] if test else [one, label],
        "mrpc": [number if test else label, "10", "11", one, two],
        "qqp": [number, *([] if test else ["1", "2"]), one, two, *given],
        "stsb": [number, "main-news", "MSRpar", "2012test", "0001", "none", "none", one, two, *given],
        "mnli": [number, "31", "31n", "fiction", *PARSES, one, two, *given * {"train": 2, "dev": 6, "test": 0}[part]],
    }
    return cells.get(task, [number, one, two, *given])


def expected(task: str, part: str, index: int) -> int | float | None:
    """The label that is read of a row."""
    if part == "test":
        return None
    number = index % len(CLASSES[task])
    return float(CLASSES[task][number]) if task == "stsb" else number
