"""Ray Data: actors that hold the students, on one machine or many."""

import ray
from arguments import parse, timed

from pingti.integrations.ray_data import Classify


def main() -> None:
    """Classify the files into a folder."""
    arguments = parse(__doc__)
    students = arguments.students
    ray.init(log_to_driver=False)
    with timed(arguments):
        # One file at a time: Ray lists several by threads, whose imports trip over each other where its
        # optional package aiohttp is missing.
        first, *others = map(ray.data.read_parquet, arguments.files)
        rows = (first.union(*others) if others else first).map_batches(
            Classify,
            fn_constructor_args=(students, arguments.text),
            batch_format="pyarrow",
            batch_size=65_536,
            concurrency=1,  # actors; with as many as there are cores, none is left to read and write
        )
        rows.write_parquet(arguments.out)


if __name__ == "__main__":
    main()
