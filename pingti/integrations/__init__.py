"""Students inside other engines: Ray Data, Spark, DuckDB, Polars, pandas; and as a model in ONNX.

Each engine has a module of a few lines, which imports the engine only when it is used. All take ``Students``:
which versions decide, fixed once, so that every process of a cluster uses the same ones.
"""

from typing import TYPE_CHECKING

from pingti.lazy import lazy

if TYPE_CHECKING:
    from pingti.integrations.students import Students

__all__ = ["Students"]

__getattr__ = lazy(__name__, {"Students": "pingti.integrations.students"})
