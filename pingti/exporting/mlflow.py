"""Students as a model of MLflow's flavour pyfunc, without a pickle in it.

MLflow imports this module where it loads the model, so Pingti has to be installed there; the model holds the
students, and the versions of what they were exported beside.
"""

import importlib.metadata
import importlib.util
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pingti import files
from pingti.errors import UnavailableError
from pingti.exporting import bundle
from pingti.frames.texts import is_frame
from pingti.inference.classifier import Classifier
from pingti.inference.pins import Pin
from pingti.students.transformer import MODEL
from pingti.workspace.registry import Workspace

if TYPE_CHECKING:
    import pandas as pd

TEXT = "text"
"""The column of the texts, by the model's signature."""
_PACKAGES = ("fsspec", "numba", "numpy", "pyarrow", "pydantic")
_OF_TRANSFORMERS = ("onnxruntime", "tokenizers")
"""What students of that kind need besides."""


class Decisions:
    """What MLflow calls ``predict`` of.

    Args:
        classifier: what decides.
    """

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> "pd.DataFrame":
        """Decide on n texts.

        Args:
            model_input: a frame with the column "text", a Series, or a list of strings; None is no text.
            params: MLflow's; there are none.

        Returns:
            n rows: for each task its decision and its score.

        Raises:
            InputError: no such column, or a value that is neither a string nor missing.
        """
        results = self._classifier.classify(model_input, text=TEXT)
        frame = results.drop_columns(["id"]).to_pandas()
        if is_frame(model_input):
            frame.index = model_input.index
        return frame


def write(workspace: Workspace, pins: Sequence[Pin], path: Path) -> None:
    """Write the model's folder.

    Args:
        workspace: where the students are.
        pins: of ``pingti.inference.pins.pin``.
        path: the folder, which is not there yet; it appears at the end, whole.

    Raises:
        UnavailableError: MLflow is not installed.
        NotFoundError: a task or a version is gone.
        ArtifactError: a student is damaged.
    """
    if importlib.util.find_spec("mlflow") is None:
        raise UnavailableError("a model of MLflow needs the package mlflow: pip install mlflow")
    import mlflow.pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec, DataType, Schema

    with tempfile.TemporaryDirectory(prefix="pingti-export-") as temporary:
        students, model = Path(temporary) / "students", Path(temporary) / "model"
        students.mkdir()
        bundle.write(workspace, pins, students)
        packages = (*_PACKAGES, *(_OF_TRANSFORMERS if any(students.rglob(MODEL)) else ()))
        mlflow.pyfunc.save_model(
            str(model),
            loader_module=__name__,
            data_path=str(students),
            signature=ModelSignature(inputs=Schema([ColSpec(DataType.string, TEXT)])),
            pip_requirements=[f"{name}=={importlib.metadata.version(name)}" for name in packages],
            metadata={"tasks": [pin.name for pin in pins if not pin.hidden]},
        )
        with files.new_folder(path) as folder:
            shutil.copytree(model, folder, dirs_exist_ok=True)


def _load_pyfunc(path: str) -> Decisions:
    """What MLflow calls, by this name, with the folder of the students."""
    return Decisions(bundle.load(Path(path)))
