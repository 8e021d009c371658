"""``pingti demo``: the whole product on real texts, from a small labelled seed to a finished batch."""

from api.cli.demo.steps import run_demo

__all__ = ["run_demo"]
