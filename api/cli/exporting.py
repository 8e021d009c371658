"""``pingti export``: a promoted student in a form that runs elsewhere."""

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.console import Screen
from api.cli.tasks import WORKSPACE, Home, Json, complete_task
from pingti.errors import ConflictError, InputError

if TYPE_CHECKING:
    from pingti.inference.pins import Pin
    from pingti.workspace.registry import Workspace

app = typer.Typer()


class Format(StrEnum):
    """What a student is exported as."""

    LAMBDA = "lambda"
    SAGEMAKER = "sagemaker"
    ONNX = "onnx"
    MLFLOW = "mlflow"


_ENDINGS = {
    Format.LAMBDA: "-lambda.zip",
    Format.SAGEMAKER: "-sagemaker.tar.gz",
    Format.ONNX: ".onnx",
    Format.MLFLOW: "-mlflow",
}


@app.command()
def export(
    tasks: Annotated[
        list[str],
        typer.Argument(
            metavar="TASK...",
            help="A task, or TASK@NAME for an operating point of it. Several go into one zip or folder.",
            autocompletion=complete_task,
        ),
    ],
    kind: Annotated[Format, typer.Option("--format", help="What it becomes.")],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", "-o", help="The file, or for sagemaker and mlflow a folder; TASK-lambda.zip and so on."
        ),
    ] = None,
    version: Annotated[
        int | None, typer.Option("--version", min=1, help="Of one task; the promoted one where absent.")
    ] = None,
    packages: Annotated[
        bool,
        typer.Option("--packages/--no-packages", help="lambda: NumPy in the zip, or in a layer of yours."),
    ] = True,
    home: Home = WORKSPACE,
    as_json: Json = False,
) -> None:
    """Carry a student away: a zip for AWS Lambda, a model for SageMaker, of ONNX or of MLflow.

    Rules, thresholds and the tasks that it depends on go along; into ONNX the network alone.
    """
    from pingti.inference.pins import Choice, described, pin
    from pingti.workspace.registry import Workspace

    if version is not None:
        if len(tasks) > 1 or "#" in tasks[0]:
            raise InputError("--version goes with one task; of several, write TASK#VERSION")
        tasks = [f"{tasks[0]}#{version}"]
    choices = [Choice.parse(task) for task in tasks]
    workspace = Workspace(home)
    pins = pin(workspace, choices)
    if out is None:
        out = Path(f"{'-'.join(dict.fromkeys(choice.task for choice in choices))}{_ENDINGS[kind]}")
    if out.exists():
        raise ConflictError(f"{out}: it is there already; name another by --out, or remove it")
    screen = Screen(as_json=as_json)
    for own in pins:
        if own.second is not None:
            screen.note(f"{own.name}: its cascade does not go along; the student answers alone")
    writers = {
        Format.LAMBDA: _lambda,
        Format.SAGEMAKER: _sagemaker,
        Format.ONNX: _onnx,
        Format.MLFLOW: _mlflow,
    }
    more = writers[kind](workspace, pins, out, screen, packages)
    screen.result({"format": kind.value, "out": str(out), "tasks": [described(own) for own in pins], **more})


def _lambda(
    workspace: "Workspace", pins: "tuple[Pin, ...]", out: Path, screen: Screen, packages: bool
) -> dict[str, Any]:
    from pingti.exporting import aws_lambda

    sizes = aws_lambda.write(workspace, pins, out, packages=packages)
    screen.say(
        f"{out}: {sizes.zipped / 2**20:,.0f} MB, unpacked {sizes.unpacked / 2**20:,.0f} MB of the "
        f"{aws_lambda.MOST_BYTES / 2**20:,.0f} MB that AWS Lambda takes"
    )
    screen.say("its handler is lambda_function.lambda_handler; docs/serverless.md tells how to deploy it")
    return asdict(sizes)


def _sagemaker(
    workspace: "Workspace", pins: "tuple[Pin, ...]", out: Path, screen: Screen, packages: bool
) -> dict[str, Any]:
    from pingti.exporting import sagemaker

    sagemaker.write(workspace, pins, out)
    screen.say(f"{out}: what lies at /opt/ml/model of an endpoint; docs/serverless.md tells how to deploy it")
    return {}


def _mlflow(
    workspace: "Workspace", pins: "tuple[Pin, ...]", out: Path, screen: Screen, packages: bool
) -> dict[str, Any]:
    from pingti.exporting import mlflow

    mlflow.write(workspace, pins, out)
    screen.say(f"{out}: a model that mlflow.pyfunc.load_model takes where Pingti is installed, too")
    return {}


def _onnx(
    workspace: "Workspace", pins: "tuple[Pin, ...]", out: Path, screen: Screen, packages: bool
) -> dict[str, Any]:
    from pingti.exporting import onnx
    from pingti.extras import install_hint
    from pingti.students import load_student

    shown = [pin for pin in pins if not pin.hidden]
    if len(shown) > 1:
        raise InputError("a model of ONNX is of one task; export each by itself")
    entry = workspace.task(shown[0].task)
    student, texts = load_student(entry.student_folder(shown[0].version)), onnx.corpus_texts(entry)
    comparison = onnx.write(student, out, texts)
    screen.say(f"{out}: the network; rules, thresholds and dependencies do not go along")
    if student.kind == "transformer":
        screen.say(f"it is the student's own file, for ONNX Runtime; {onnx.tokenizer_of(out)} cuts its texts")
        return {"comparison": None, "tokenizer": str(onnx.tokenizer_of(out))}
    if comparison:
        screen.say(
            f"ONNX Runtime scores {comparison.texts:,} texts of the corpus as the student does, "
            f"within {comparison.difference:.1g}"
        )
        return {"comparison": asdict(comparison)}
    if len(texts):
        screen.note(f"not compared with the student: ONNX Runtime is missing; {install_hint('onnx')}")
    else:
        screen.note("not compared with the student: the task's corpus is not here")
    return {"comparison": None}
