"""What a relayed packet costs, by stage: samples of the CPU clock in the server's threads and its receive path."""

import re
import shutil
import subprocess
import time
from collections import Counter
from dataclasses import asdict, dataclass

from . import topology
from .bench import Bench
from .cells import BASE
from .programs import OUT

SAMPLES_A_SECOND = 4000
PERF_START_SECONDS = 0.5
SYMBOLS_SHOWN = 10
# Stage by the first pattern that a symbol matches; what matches none is "other kernel work".
STAGES = (
    ("relay program", r"bpf_prog_\w+_(relay|swap)\w*|^bpf_(xdp_adjust|xdp_redirect|map_lookup|fib)|htab_map|array_map"
                      r"|bpf_dispatcher|bpf_test|percpu_array"),
    ("count and drop at the far end", r"bpf_prog_\w+_(sink|generate)\w*"),
    ("send: frames to the link", r"dev_map|bq_|xdp_do_|xdp_convert|veth_xdp_(xmit|flush|tx|get)|veth_ndo_xdp|xdp_return"
                                 r"|__xdp_return|xdp_update_frame"),
    ("send: packet out of the stack", r"veth_xmit|dev_queue_xmit|dev_hard_start|__dev_|sch_|qdisc|validate_xmit|skb_csum"
                                      r"|csum_partial|skb_checksum|neigh|packet_|dev_direct|netif_skb_features|eth_"),
    ("send: sockets, UDP and IP", r"sendm?msg|sock_alloc_send|alloc_skb|sendto|udp_send|udp_push|ip_make|ip_append|ip_send|ip_output"
                                  r"|ip_finish|ip_route|fib_|ip_local_out|__ip_|ip_setup|sk_dst|sock_w|skb_set_owner|udp4_hwcsum"
                                  r"|raw_|import_iovec|copy_from|_copy_from|ip_copy|ip_generic|sock_wfree|move_addr_to_k"),
    ("receive: sockets and poll", r"recvm?msg|recvfrom|udp_recv|skb_recv|__skb_(try_)?recv|skb_copy_datagram|copy_to|_copy_to"
                                  r"|sock_recv|udp_read|simple_copy|epoll|ep_|poll|skb_consume_udp|move_addr_to_u|put_cmsg|inet_recv"
                                  r"|udp_rmem|udp_skb_destructor|first_packet_length|__check_object|fd(get|put)|fget|fput|sockfd"),
    ("receive: stack to the socket", r"udp|ip_rcv|ip_local_deliver|ip_protocol|__netif_receive|netif_receive|napi_|gro|dev_gro"
                                     r"|inet_gro|sock_def_read|sk_filter|__sock_queue|build_skb|nf_|tcp_v4_early|ip_list|skb_list|"
                                     r"ip_sublist|eth_type"),
    ("receive: frames from the link", r"veth|ptr_ring|xdp_|page_pool"),
    ("memory of packets", r"kmem_|slab|skb_|kfree|__kfree|kmalloc|___slab|page_frag|alloc_pages|free_|__free|get_page|put_page"
                          r"|sk_mem|__sk_mem|napi_skb|memset|memcpy|rmqueue|prep_new"),
    ("system calls and scheduling", r"syscall|entry_|sched|wake|ttwu|switch|enqueue|dequeue|update_|pick_|rcu|lock|softirq|irq"
                                    r"|preempt|kthread|timer|ktime|read_hpet|native_|x64_sys|do_syscall|__x64|exit_to_user|finish_task"),
)


@dataclass(frozen=True)
class Stages:
    rate: float                     # datagrams a second, while sampled
    total_ns: float                 # a datagram: threads and receive path
    samples: int                    # how many the shares rest on
    stages: dict[str, float]        # nanoseconds a datagram
    symbols: list[tuple[str, str, float]]   # the dearest: stage, name, nanoseconds

    def as_json(self) -> dict:
        return asdict(self)


def stage_of(symbol: str, in_kernel: bool) -> str:
    if not in_kernel:
        return "the server's own code"
    for stage, pattern in STAGES:
        if re.search(pattern, symbol):
            return stage
    return "other kernel work"


def stages(server_of, seconds: float) -> Stages:
    """A server at 64 sessions, single datagrams of 172 bytes upwards, with as many offered as it can nearly take."""
    if not shutil.which("perf"):
        raise RuntimeError("perf is missing: apt-get install linux-perf")
    with topology.Topology("frames") as net, Bench(net, server_of(net.relay_address)) as bench:
        bench.prepare(BASE)
        bench.drive(BASE, 20_000, 0.2)
        flooded = bench.drive(BASE, 0, 0.5)
        # Userspace loses its CPU to refusals when it is flooded; XDP takes all there is.
        rate = 0 if flooded.trial.loss < 0.01 else 0.8 * flooded.trial.delivered_rate
        samples, measured = _sampled(bench, net, rate, max(1.0, seconds))
    total = measured.task_ns_per_datagram + measured.receive_ns_per_datagram
    counted: Counter = Counter()
    for (in_kernel, symbol), n in samples.items():
        counted[stage_of(symbol, in_kernel)] += n
    each = total / max(1, samples.total())
    dearest = [(stage_of(symbol, in_kernel), symbol, n * each)
               for (in_kernel, symbol), n in samples.most_common(SYMBOLS_SHOWN)]
    return Stages(measured.trial.delivered_rate, total, samples.total(),
                  {stage: n * each for stage, n in counted.most_common()}, dearest)


def _sampled(bench: Bench, net: topology.Topology, rate: float, seconds: float):
    data = OUT / "stages.data"
    tasks = ",".join(map(str, [bench.running.pid, *net.receivers]))
    # As urgent as what it watches, and started before it.
    perf = subprocess.Popen(
        ["nice", "-n", "-20", "perf", "record", "-q", "-e", "cpu-clock", "-F", str(SAMPLES_A_SECOND), "-p", tasks, "-o",
         str(data), "--", "sleep", str(seconds + PERF_START_SECONDS)],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(PERF_START_SECONDS)
        measured = bench.drive(BASE, rate, seconds)
        perf.wait(seconds + 20)
    finally:
        if perf.poll() is None:
            perf.kill()
            perf.wait()
    done = subprocess.run(["perf", "script", "-i", str(data), "-F", "ip,sym,dso"], capture_output=True, text=True,
                          timeout=120)
    data.unlink(missing_ok=True)
    counts: Counter = Counter()
    for line in done.stdout.splitlines():
        address, _, rest = line.strip().partition(" ")
        symbol, _, binary = rest.rpartition(" (")
        if binary:
            counts["kernel" in binary or "bpf_prog" in symbol or int(address, 16) >> 47 != 0, symbol] += 1
    return counts, measured
