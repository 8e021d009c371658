"""Spark: ``mapInArrow`` in its Python workers."""

from arguments import parse, timed
from pyspark.sql import SparkSession

from pingti.integrations.spark import classify, result_schema


def main() -> None:
    """Classify the files into a folder."""
    arguments = parse(__doc__)
    students = arguments.students
    spark = SparkSession.builder.appName("pingti").getOrCreate()
    with timed(arguments):
        frame = spark.read.parquet(*arguments.files)
        schema = result_schema(frame.schema, students)
        frame.mapInArrow(classify(students, arguments.text), schema).write.parquet(arguments.out)
    spark.stop()


if __name__ == "__main__":
    main()
