"""What a relayed packet costs, by stage: samples of the CPU clock in the server's threads and its receive path."""

import re
from collections import Counter
from dataclasses import asdict, dataclass

from . import accounting, sampling, topology
from .bench import SERVER_CPU, Bench, is_loaded
from .cells import Cell
from .programs import OUT

SYMBOL_SHARE = 0.002
# Stage by the first pattern, of several a line, that a symbol matches; what matches none is "other kernel work".
STAGES = {
    "the relay's XDP program": """
        ^bpf_prog_\\w+_(relay|swap) ^bpf_(xdp_adjust|xdp_redirect|fib) ^bpf_dispatcher""",
    "the counting program at the far end": """
        ^bpf_prog_\\w+_sink""",
    "other BPF programs of this host": """
        bpf_prog htab_map ^lookup_nulls bpf_probe copy_from_kernel_nofault""",
    "veth: taking frames, at both ends": """
        ^veth_(poll|xdp_rcv) ptr_ring page_pool ^skb_pp_cow ^xdp_(build|init|prepare) __xdp_build_skb ^net_rx_action
        __napi_poll""",
    "XDP: sending frames": """
        dev_map dev_hash_map ^bq_ ^xdp_ ^__xdp ^veth_ndo ^veth_xdp_(xmit|flush|tx|get) ^__dev_flush""",
    "waking and switching threads": """
        ^(__)?schedule ^sched_ ^__sched wake ttwu switch enqueue_(task|entity) dequeue update_(curr|load|rq) pick_ ^psi_
        napi_threaded kthread ^_raw_spin_unlock_irqrestore pv_queued ^native_ ^rt_ cpuacct avg_ select_task resched
        ^finish_""",
    "receive: stack to the socket": """
        ^ip_(rcv|local_deliver|protocol|list|sublist|route_input) ^fib_validate netif_receive ^napi_ gro_ _gro
        ^udp4?_(lib_|queue|unicast|ehash|v4_early) __udp(4_lib|_enqueue) ^sock_def_read ^sk_filter build_skb ^nf_
        ^raw_local reuseport ^__inet_lookup ^eth_type napi_schedule""",
    "receive: poll and system calls of sockets": """
        recv epoll ^ep_ poll copy_to ^sock_recv ^skb_consume_udp ^move_addr_to_user put_cmsg ^udp_(rmem|read|skb)
        first_packet_length check_object""",
    "send: system calls, UDP, IP and routes": """
        send ^ip_ ^__ip_ ^udp ^raw_ fib_ xfrm ^ipv4 copy_from iovec ^dst_ sock_w sock_alloc alloc_skb
        ^move_addr_to_kernel siphash copy_iovec copy_msghdr""",
    "send: device queue to the link": """
        veth_xmit dev_(queue|hard|forward) ^__dev ^validate_xmit netif_skb csum neigh packet_ ^passthru qdisc ^sch_""",
    "memory of packets": """
        kmem_ slab ^skb_ ^sk_skb free kmalloc page ^__sk_mem ^sk_mem mem(set|cpy|move) rmqueue""",
    "entering the kernel, locks, timers": """
        syscall entry_ rcu lock softirq irq preempt timer ktime tsc x64 exit_to_user fd(get|put) ^f(get|put) security
        bh_""",
}
PATTERNS = {stage: re.compile("|".join(text.split())) for stage, text in STAGES.items()}


@dataclass(frozen=True)
class Stages:
    rate: float                     # datagrams a second, while sampled
    total_ns: float                 # a datagram: threads and receive path
    samples: int                    # how many the shares rest on
    stages: dict[str, float]        # nanoseconds a datagram
    symbols: list[tuple[str, str, float]]   # stage, name, nanoseconds: those of a five-hundredth and more

    def as_json(self) -> dict:
        return asdict(self)


def stage_of(symbol: str, in_kernel: bool) -> str:
    if not in_kernel:
        return "the server's own code"
    for stage, pattern in PATTERNS.items():
        if pattern.search(symbol):
            return stage
    return "other kernel work"


def stages(server_of, cell: Cell, seconds: float) -> Stages:
    """A server in a cell of the link "frames", with as many datagrams offered as it can nearly take."""
    if not sampling.is_possible():
        raise RuntimeError("perf is missing: apt-get install linux-perf")
    with topology.Topology("frames") as net, Bench(net, server_of(net.relay_address)) as bench:
        bench.prepare(cell)
        bench.drive(cell, 20_000, 0.2)
        flooded = bench.drive(cell, 0, 0.5)
        # Userspace loses its CPU to refusals when it is flooded; XDP takes all there is.
        rate = 0 if flooded.trial.loss < 0.01 and not is_loaded(flooded.spent) else 0.8 * flooded.trial.delivered_rate
        samples, measured = _sampled(bench, net, cell, rate, max(1.0, seconds))
    total = measured.task_ns_per_datagram + measured.receive_ns_per_datagram
    counted: Counter = Counter()
    for (in_kernel, symbol), n in samples.items():
        counted[stage_of(symbol, in_kernel)] += n
    each = total / max(1, samples.total())
    dearest = [(stage_of(symbol, in_kernel), symbol, n * each)
               for (in_kernel, symbol), n in samples.most_common() if n >= SYMBOL_SHARE * samples.total()]
    return Stages(measured.trial.delivered_rate, total, samples.total(),
                  {stage: n * each for stage, n in counted.most_common()}, dearest)


def _sampled(bench: Bench, net: topology.Topology, cell: Cell, rate: float, seconds: float):
    """Samples both CPUs whole, which disturbs less than following threads that switch often; counts those threads'."""
    data = OUT / "stages.data"
    with sampling.sampling(data, seconds, "-C", f"{topology.LOAD_CPU},{SERVER_CPU}"):
        measured = bench.drive(cell, rate, seconds)
    processes = (bench.running.pid, *net.receivers)
    tasks = {task for pid in processes for task in accounting.of_tasks(pid, lambda task: task)}
    counts = Counter((sample.in_kernel, sample.symbol) for sample in sampling.taken(data) if sample.task in tasks)
    return counts, measured
