"""Folders that look as ones of ``save_pretrained``, for what looks at them without loading anything."""

import json
from pathlib import Path
from typing import Any


def write_model(folder: Path, config: dict[str, Any]) -> None:
    folder.mkdir(exist_ok=True)
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (folder / name).write_text(json.dumps(config) if name == "config.json" else "")
