"""The benchmark harness without a network: its search, its plan, its records and its page, and that its programs compile."""

import itertools
import json
import random
import re
import shutil
import subprocess
from types import SimpleNamespace

import pytest
from harness_kit import BENCHMARKS, header, planned

from harness import accounting, calls, chain, growth, means, progress, search, stages
from harness.bench import Measured
from harness.cells import BASE, Cell
from harness.load import Trial
from harness.report import extra, page
from harness.report.figures import Figures

GRACE_SECONDS = 0.02


def spent(seconds: float, busy: float) -> accounting.Spent:
    """Of a server whose threads took this share of a CPU."""
    return accounting.Spent(seconds, int(busy * seconds * 1e9), int(0.2 * seconds * 1e9), 0.0, 0.1, 0, 0.0, 0.0)


class SimulatedBench:
    """A server that relays `limit` datagrams a second out of buffers without a bottom, so that all arrives in the end, and
    a generator that sends `share` of what it is asked for."""

    DRIVES_MOST = 200

    def __init__(self, limit: float, share: float = 1.0, most: float = 5e6, busy: float = 0.9, disturbed=lambda: False):
        self.server = SimpleNamespace(name="simulated")
        self.limit, self.share, self.most, self.busy, self.disturbed = limit, share, most, busy, disturbed
        self.drives = 0

    def drive(self, cell: Cell, rate: float, seconds: float, stamps: bool = False) -> Measured:
        self.drives += 1
        assert self.drives < self.DRIVES_MOST, "the search does not end"
        offered = int(min(rate * self.share or self.most, self.most) * seconds)
        lost = 0.01 if self.disturbed() else 0
        with_grace = int(min(offered, self.limit * (seconds + GRACE_SECONDS)) * (1 - lost))
        in_time = min(with_grace, int(self.limit * seconds))
        trial = Trial(seconds, offered, offered, offered, in_time, with_grace, 0, 0, 0, 0, 0, 0,
                      latency_us={"count": offered, "p50": 10.0, "p99": 20.0, "p999": 30.0, "max": 40.0} if stamps else {})
        return Measured(trial, spent(seconds, self.busy))

    def make_urgent(self) -> None:
        pass


def found(bench: SimulatedBench, precision: float = 0.03) -> search.Found:
    return search.largest_rate(bench, BASE, 0.7, precision)


@pytest.mark.parametrize("limit", [2_500, 60_000, 237_000, 2_400_000])
@pytest.mark.parametrize("precision", [0.03, 0.1])
def test_the_search_finds_the_limit(limit, precision):
    rate = found(SimulatedBench(limit), precision)
    # What is still under way at the end of a trial may be relayed within the grace.
    assert limit / (1 + precision) <= rate.rate <= limit * (1 + GRACE_SECONDS / 0.7 + 0.002)
    assert not rate.generator_limited and rate.loss < search.LOSS_LIMIT
    assert rate.overload_delivered == pytest.approx(limit, rel=0.01)


@pytest.mark.parametrize("share", [0.9, 0.969, 0.971, 0.975, 0.985, 0.99])
def test_the_search_ends_with_a_generator_that_falls_short(share):
    rate = found(SimulatedBench(200_000, share))
    assert rate.rate <= 200_000 * 1.04
    assert rate.generator_limited == (share < search.OFFERED_SHARE)


@pytest.mark.parametrize("seed", range(20))
def test_the_search_ends_on_a_machine_that_is_never_quiet(seed):
    chance = random.Random(seed)
    rate = found(SimulatedBench(200_000, disturbed=lambda: chance.random() < 0.4))
    assert 20_000 < rate.rate < 210_000, f"seed {seed}"


def test_a_server_that_loses_always_is_an_error():
    with pytest.raises(RuntimeError, match="loses at every rate"):
        found(SimulatedBench(200_000, disturbed=lambda: True))


def test_a_loss_of_the_last_trial_is_stepped_down_from_or_told():
    bench = SimulatedBench(200_000)
    bench.disturbed = lambda: bench.drives > 20
    bench.drives = 15
    rate = found(bench)
    assert rate.loss == pytest.approx(0.01, abs=0.001)


@pytest.mark.parametrize("busy, loaded", [(0.01, False), (0.95, True)])
def test_who_takes_everything_is_limited_by_the_generator(busy, loaded):
    rate = found(SimulatedBench(9e6, most=1.5e6, busy=busy))
    assert rate.generator_limited and rate.server_loaded == loaded
    assert rate.rate == pytest.approx(1.5e6, rel=0.01)


def test_one_pause_of_the_generator_ends_no_search():
    bench = SimulatedBench(200_000)
    whole = bench.drive

    def pausing(cell, rate, seconds, stamps=False):
        # One rate is tried three times.
        bench.share = 0.8 if 5 <= bench.drives < 8 else 1.0
        return whole(cell, rate, seconds, stamps)
    bench.drive = pausing
    rate = found(bench)
    assert not rate.generator_limited and rate.rate > 190_000


def test_buffers_that_last_for_a_flood_make_no_limit_of_the_generator():
    # A short flood fits into the grace, one of twice the length does not.
    rate = found(SimulatedBench(1e6, most=1.02e6))
    assert rate.rate <= 1e6 * 1.04 and rate.loss < search.LOSS_LIMIT


class SimulatedCalls(SimulatedBench):
    """Carries so many calls; what is too much is lost, so its percentile is none."""

    def __init__(self, most_calls: int):
        super().__init__(0)
        self.most_calls, self.generator = most_calls, self

    def allocate(self, count: int) -> None:
        pass

    def calls(self, direction, count, payload, burst, period_us, seconds) -> Trial:
        self.drives += 1
        assert self.drives < self.DRIVES_MOST, "the search does not end"
        offered = int(2 * burst * count * seconds * 1e6 / period_us)
        received = offered if count <= self.most_calls else int(offered * 0.97)
        p99 = 100.0 if received == offered else None
        return Trial(seconds, offered, offered, received, received, received, 0, 0, 0, 0, 0, 0,
                     latency_us={"count": received, "p50": 10.0, "p99": p99, "p999": None, "max": 1e4})

    def attempt(self, run, what: str) -> Measured:
        return Measured(run(), spent(1.0, 0.9))


@pytest.mark.parametrize("limit", [*range(3, 13), 57, 999, 15_999, 20_000])
def test_the_calls_that_hold_are_found(limit):
    most = calls.most_calls(SimulatedCalls(limit), calls.SHAPES["video"], 1.0)
    assert most.calls <= limit
    assert most.calls * 1.1 >= min(limit, calls.CALLS_MAX) or most.calls == limit


# Records


def failing() -> dict:
    raise subprocess.TimeoutExpired("ip", 30)


def test_a_step_that_fails_is_done_again_and_the_others_once(tmp_path):
    runs = []
    steps = [progress.Step(("a",), failing, 1), progress.Step(("b",), lambda: runs.append(1) or {"ns": 1}, 1)]
    records = progress.Records(tmp_path / "results.json", header())
    progress.take(steps, records, 0)
    assert "timed out" in records.figures["a"]["error"] and runs == [1]
    again = progress.Records(tmp_path / "results.json", header())
    again.resume()
    progress.take([progress.Step(("a",), lambda: {"ns": 2}, 1), steps[1]], again, 0)
    assert again.figures == {"a": {"ns": 2}, "b": {"ns": 1}} and runs == [1]


@pytest.mark.parametrize("field, value", [("versions", {"relayd": "2"}), ("measuring", {"g": "2"}), ("seconds", 0.3),
                                          ("precision", 0.1), ("sessions", 1), ("segmentation", "software")])
def test_figures_of_another_run_are_not_taken_over(tmp_path, field, value):
    progress.Records(tmp_path / "results.json", header()).save()
    with pytest.raises(SystemExit, match=field):
        progress.Records(tmp_path / "results.json", header(**{field: value})).resume()


def test_threads_that_end_are_left_out():
    ended = subprocess.Popen(["true"])
    ended.wait()
    assert accounting.of_tasks(ended.pid, lambda task: task) == []
    assert accounting.run_time_ns(ended.pid) == 0

    def gone(task: int):
        raise ProcessLookupError
    with subprocess.Popen(["sleep", "30"]) as alive:
        assert accounting.of_tasks(alive.pid, lambda task: task) == [alive.pid]
        assert accounting.of_tasks(alive.pid, gone) == []
        alive.kill()


def test_what_goes_through_threads_is_done_over_when_one_ends():
    tries = iter([ProcessLookupError, FileNotFoundError, None])

    @accounting.again_when_tasks_end
    def act() -> int:
        error = next(tries)
        if error:
            raise error
        return 7
    assert act() == 7


# The page


def a_cell(rate: float, cpu_ns: float, p99: float = 100.0) -> dict:
    late = {"count": 1, "p50": 10.0, "p99": p99, "p999": 500.0, "max": 900.0}
    return search.Found(rate, False, True, 0.0, cpu_ns / 2, cpu_ns / 2, cpu_ns, 10.0, 0.1, rate * 1.5, rate, cpu_ns, late,
                        0.0, 0.0).as_json()


def figures() -> dict:
    made = {("check",): {"swap_corrupt": {"fault": "corrupted", "offered": 4000, "caught": 250}},
            ("start",): {"relayd": 12.0}, ("means", "coturn"): {"error": "it fell over"},
            ("means", "relayd"): means.Means(1, 1, 10, 1.0, 1.0, 9.0, 9.0, 9.0, 0, True, 5.0).as_json(),
            ("calls", "voice", "relayd"): calls.Calls(
                900, False, 9e4, {"p50": 1.0, "p99": 9.0, "p999": None, "max": 9.0}, 5.0).as_json(),
            ("growth", "relayd", "up", "half", "10"): growth.Cost(10, 1.0, 0.0, 1.0, 1.0, "ticks", ()).as_json()}
    for cell, server in itertools.product((BASE.name, "down/172/1/4000"), ("relayd", "relayd-io-uring")):
        made["stages", cell, server] = stages.Stages(1e5, 900.0, 99, {"other kernel work": 900.0}, []).as_json()
    for server in ("reference-xdp", "relayd-xdp"):
        made["chain", server, "0"] = chain.Chain(1e6, 0.0, 1000.0 if server == "relayd-xdp" else 800.0).as_json()
    for turn, (server, rate) in itertools.product("012", (("coturn", 1e5), ("relayd", 2e5), ("relayd-io-uring", 1.9e5),
                                                          ("relayd-xdp", 2e6))):
        made["cell", BASE.name, server, turn] = a_cell(rate * (1 + int(turn) / 10), 1e9 / rate)
    for sessions in (1000, 10_000):
        made["cell", f"up/172/1/{sessions}", "relayd-xdp", "0"] = a_cell(1e6, 600.0)
    return {"|".join(key): figure for key, figure in made.items()}


@pytest.fixture
def written(tmp_path, monkeypatch) -> str:
    (tmp_path / "micro.json").write_text(json.dumps(
        [{"name": name, "nanoseconds": 5.0, "allocations": 0, "references": 0} for name in ("core/binding", "plane/socket-up")]))
    (tmp_path / "costs.json").write_text(json.dumps([{"what": "a hit", "value": 100, "unit": "ns"}]))
    monkeypatch.setattr(extra, "MICRO", tmp_path / "micro.json")
    monkeypatch.setattr(extra, "COSTS", tmp_path / "costs.json")
    records = progress.Records(tmp_path / "results.json", header())
    records.figures = figures()
    page.write(tmp_path / "RESULTS.md", records)
    for plot in ("rates", "costs", "latency", "calls", "stages", "sessions"):
        assert (tmp_path / "plots" / f"{plot}.svg").read_text().startswith("<svg")
    return (tmp_path / "RESULTS.md").read_text()


def test_the_page_has_every_section(written):
    headings = re.findall("^## (.*)", written, re.M)
    assert headings == [
        "What XDP is held to", "Ratios", "Rates, CPU, latency", "The whole chain on one CPU",
        "Calls", "Start, memory, setups, stop", "What a datagram costs, by stage", "Scale on paper", "Growth with sessions",
        "Whether wrong relays are noticed", "The XDP program under `BPF_PROG_TEST_RUN`, and its routes", "Single operations",
        "What could not be measured", "How it was measured"]
    assert "| plane/socket-up | – |" in written and "| core/binding | 5 |" in written
    assert "it fell over" in written


def test_a_run_that_measured_nothing_yet_has_the_page_of_a_run(tmp_path):
    page.write(tmp_path / "RESULTS.md", progress.Records(tmp_path / "results.json", header()))
    assert (tmp_path / "RESULTS.md").read_text().startswith("# Results\n")


def test_the_page_has_ratios_of_the_last_server_and_of_io_uring(written):
    section = written.partition("## Ratios")[2].partition("\n## ")[0]
    assert "| relayd-xdp to |" in section and "| relayd-io-uring to |" in section
    assert "| up/172/1/64 | 1.90 (1.90 to 1.90); 0.53 (0.53 to 0.53) | 0.95 (0.95 to 0.95); 1.05 (1.05 to 1.05) |" in section


def test_the_walls_are_in_the_order_of_their_rates(written):
    rates = [float(rate) for rate in re.findall(r"^\d+\. ([\d.]+) Mpps, ", written, re.M)]
    assert len(rates) == 4 and rates == sorted(rates)


def test_ratios_are_of_single_rounds():
    records = SimpleNamespace(header=header(), figures={
        f"cell|x|{name}|{turn}": {"rate": rate} for name, rates in (("a", (2.0, 3.0, 8.0)), ("b", (1.0, 1.0, 2.0)))
        for turn, rate in enumerate(rates)} | {"cell|x|a|3": {"rate": 99.0}, "cell|x|c|0": {"error": "no"}})
    f = Figures(records)
    assert f.cell_ratio("x", "a", "b", "rate") == "3.00 (2.00 to 4.00)"
    assert f.cell_ratio("x", "a", "c", "rate") == "–"


def test_a_command_repeats_the_settings_of_the_run():
    said = Figures(SimpleNamespace(header=header(seconds=0.3, precision=0.1, sessions=7, segmentation="software",
                                                 given_rounds=2, commands={"mine": "x {port}"}), figures={}))
    assert said.repeat("cells") == ("Repeat: `sudo benchmarks/run --rounds 2 --command 'mine=x {port}' --seconds 0.3 "
                                    "--precision 0.1 --sessions 7 --segmentation software --parts cells`\n")
    assert Figures(SimpleNamespace(header=header(), figures={})).repeat("cells") == "Repeat: `sudo benchmarks/run --parts cells`\n"


# The plan


def test_a_quick_run_is_planned_for_less_than_three_minutes(monkeypatch):
    assert sum(step.seconds for step in planned(monkeypatch, "--quick")) < 180


def test_the_whole_run_is_planned_for_less_than_forty_minutes(monkeypatch):
    steps = planned(monkeypatch)
    assert len({step.key for step in steps}) == len(steps)
    assert sum(step.seconds for step in steps) < 40 * 60


# The programs


def test_the_programs_compile(tmp_path):
    for tool in ("make", "cc", "clang"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed here")
    made = subprocess.run(["make", "-s", "-j2", "-C", str(BENCHMARKS), f"OUT={tmp_path}"], capture_output=True, text=True,
                          timeout=300)
    assert made.returncode == 0, made.stdout + made.stderr
    assert {"generator", "reference", "reference-xdp", "first-answer", "frames.bpf.o", "swap.bpf.o"} <= {
        file.name for file in tmp_path.iterdir()}
