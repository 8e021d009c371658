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
        rows = ray.data.read_parquet(arguments.files).map_batches(
            Classify,
            fn_constructor_args=(students, arguments.text),
            batch_format="pyarrow",
            batch_size=65_536,
            concurrency=(1, 2),
        )
        rows.write_parquet(arguments.out)


if __name__ == "__main__":
    main()
