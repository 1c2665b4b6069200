"""What finished runs come to: reads outputs/ and writes tables, figures and one page; docs/report.md, --help."""

import sys
from collections.abc import Sequence

from results.options import HELP, Options
from runs.errors import sentences
from runs.status import status

STATUS = "--status"


def main(words: Sequence[str]) -> None:
    if {"--help", "-h"} & set(words):
        print(HELP)
        return
    options = Options.parse([word for word in words if word != STATUS])
    if STATUS in words:
        print(status(options.root))
        return
    from results.report import report  # takes a second: not for wrong commands

    print(report(options))


if __name__ == "__main__":
    with sentences():
        main(sys.argv[1:])
