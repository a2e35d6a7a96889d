// The frames link: the kernel half (frames/frames.bpf.c) loaded, its maps shared, its sinks attached.
#include "frames.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static void *share(struct bpf_object *object, const char *name)
{
    struct bpf_map *map = bpf_object__find_map_by_name(object, name);
    if (!map)
        fail("no map %s in the object", name);
    size_t page = sysconf(_SC_PAGESIZE);
    size_t bytes = (size_t)((bpf_map__value_size(map) + 7) & ~7u) * bpf_map__max_entries(map);
    void *at = mmap(NULL, (bytes + page - 1) & ~(page - 1), PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);
    if (at == MAP_FAILED)
        fail("mapping %s", name);
    return at;
}

static int program(struct bpf_object *object, const char *name)
{
    struct bpf_program *found = bpf_object__find_program_by_name(object, name);
    if (!found)
        fail("no program %s in the object", name);
    return bpf_program__fd(found);
}

// The link lives as long as this process.
static void attach(int program, const char *interface)
{
    LIBBPF_OPTS(bpf_link_create_opts, options, .flags = XDP_FLAGS_DRV_MODE);
    if (bpf_link_create(program, if_nametoindex(interface), BPF_XDP, &options) < 0)
        fail("attaching a program to %s", interface);
}

static void fill_noise(uint32_t *words)
{
    uint64_t state = 0x9E3779B97F4A7C15;
    for (size_t i = 0; i < FRAMES_NOISE_WORDS; i++) {
        state = state * 6364136223846793005 + 1442695040888963407;
        words[i] = state >> 32;
    }
}

void link_open(struct generator *g)
{
    const struct options *o = &g->options;
    struct link *link = calloc(1, sizeof *link);
    if (!link)
        fail("memory");
    struct bpf_object *object = bpf_object__open_file(o->object, NULL);
    if (!object || bpf_object__load(object) != 0)
        fail("loading %s", o->object);
    link->settings = share(object, "settings_map");
    link->progress = share(object, "progress_map");
    link->schedule = share(object, "schedule_map");
    link->templates = share(object, "template_map");
    link->expectations = share(object, "expectation_map");
    link->tallies = share(object, "tally_map");
    link->histograms = share(object, "histogram_map");
    link->noise = share(object, "noise_map");
    link->generate = program(object, "generate");
    link->interfaces[UP] = g->interface_index;
    link->interfaces[DOWN] = g->interface_index;
    fill_noise(link->noise);
    // A program that is attached somewhere runs without the grace periods that the kernel otherwise waits for.
    attach(link->generate, o->spare);
    int sink = program(object, "sink");
    attach(sink, o->interface);
    if (o->peer_interface) {
        link->interfaces[DOWN] = if_nametoindex(o->peer_interface);
        attach(sink, o->peer_interface);
    }
    g->link = link;
}

// Live frames are the only way to send whole frames that no socket carries; an XDP program rewrites each.
void link_push(struct link *link, const void *frame, size_t length, unsigned count)
{
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame, .data_size_in = length, .repeat = count,
                .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = LINK_BATCH);
    int result = bpf_prog_test_run_opts(link->generate, &options);
    if (result < 0 && result != -EINTR)
        errno = -result, fail("live frames (they need Linux 5.18)");
}
