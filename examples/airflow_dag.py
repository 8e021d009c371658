"""A DAG of Airflow (2.5 or newer): each night a file is classified by a running service.

Put it into Airflow's folder of DAGs, install ``pingti`` beside Airflow (the client needs no extra), and set
PINGTI_URL and PINGTI_API_KEY where its workers run. No worker waits for the job: the sensor looks once a
minute.
"""

from datetime import datetime

from airflow.decorators import dag, task
from airflow.sensors.base import PokeReturnValue

POSTS = "/srv/posts/{day}.parquet"
LABELS = "/srv/labels/{day}.parquet"
TASK = "sports"


@dag(schedule="10 0 * * *", start_date=datetime(2026, 1, 1), catchup=False, tags=["pingti"])
def classify_posts() -> None:
    """Submit, wait, fetch."""

    @task(retries=3)
    def submit(ds: str | None = None) -> str:
        from pingti import Client

        with Client() as client:
            path = POSTS.format(day=ds)
            # A task that Airflow starts again makes no second job.
            job = client.submit(
                path, TASK, id="id", idempotency_key=f"airflow {TASK} {ds}", max_bad_rows=0.01
            )
        return job.id

    @task.sensor(poke_interval=60, timeout=6 * 3600, mode="reschedule")
    def ended(job_id: str) -> PokeReturnValue:
        from pingti import Client
        from pingti.client import JobFailedError

        with Client() as client:
            job = client.job(job_id)
        if job.status in ("failed", "cancelled"):
            raise JobFailedError(job)
        return PokeReturnValue(is_done=job.status == "completed", xcom_value=job_id)

    @task(retries=3)
    def fetch(job_id: str, ds: str | None = None) -> str:
        from pingti import Client

        path = LABELS.format(day=ds)
        with Client() as client:
            client.download(job_id, path)
        return path

    fetch(ended(submit()))


classify_posts()
