"""pandas: a frame with the decisions beside its columns."""

import pandas as pd
from arguments import parse, timed

from pingti.integrations.pandas import classify


def main() -> None:
    """Classify the files in memory."""
    arguments = parse(__doc__)
    students = arguments.students
    with timed(arguments):
        frame = pd.concat(map(pd.read_parquet, arguments.files), ignore_index=True)
        classify(frame, arguments.text, students).to_parquet(arguments.out)


if __name__ == "__main__":
    main()
