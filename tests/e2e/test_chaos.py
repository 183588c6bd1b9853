"""A short run of the chaos test; tests/chaos/chaos.py --seconds 1800 is the long one."""

import importlib.util
import os
import pathlib

PROGRAM = pathlib.Path(__file__).resolve().parent.parent / "chaos" / "chaos.py"


def test_chaos_for_a_moment():
    spec = importlib.util.spec_from_file_location("chaos", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    seconds = float(os.environ.get("TENSORD_CHAOS_SECONDS", "12"))
    assert module.chaos(seconds, warm_up=min(5, seconds)) == []
