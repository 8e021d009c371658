"""No engine: what the others are measured beside."""

import pyarrow as pa
import pyarrow.parquet as pq
from arguments import parse, timed


def main() -> None:
    """Classify the files in this process, some rows after the others."""
    arguments = parse(__doc__)
    students = arguments.students
    schema = pq.read_schema(arguments.files[0])
    for field in students.schema:
        schema = schema.append(field)
    with timed(arguments), pq.ParquetWriter(arguments.out, schema) as writer:
        for file in arguments.files:
            for batch in pq.ParquetFile(file).iter_batches(65_536):
                writer.write_table(students.extend(pa.Table.from_batches([batch]), arguments.text))


if __name__ == "__main__":
    main()
