"""What the tests of the benchmark harness share: where it is, the header of a run, and the steps that a command plans."""

import importlib.machinery
import importlib.util
import pathlib
import sys

BENCHMARKS = pathlib.Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from harness import plan, progress, servers  # noqa: E402


def header(**more) -> dict:
    return {"machine": {"cpus": 2, "cpu": "a CPU", "memory_bytes": 2**34, "kernel": "6.1", "system": "Debian", "compiler": "cc"},
            "date": "2030-01-01", "revision": "abc", "load_average": 0.1, "versions": {"relayd": "1"}, "measuring": {"g": "1"},
            "servers": ["coturn", "reference-xdp", "relayd", "relayd-io-uring", "relayd-xdp"], "segmentation": "whole",
            "rounds": 1, "base_rounds": 3, "given_rounds": 0, "seconds": 0.7, "precision": 0.03,
            "quick": False, "sessions": 10_000, "commands": {}, **more}


def planned(monkeypatch, *arguments: str) -> list[progress.Step]:
    loader = importlib.machinery.SourceFileLoader("benchmarks_run", str(BENCHMARKS / "run"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("benchmarks_run", loader))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader.exec_module(module)
    monkeypatch.setattr(sys, "argv", ["run", *arguments])
    given = module.options()
    return plan.steps({name: servers.BY_NAME[name] for name in given.servers}, given)
