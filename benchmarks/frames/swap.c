// usage: reference-xdp OBJECT PROGRAM INTERFACE
// Attaches one program of swap.bpf.o in the driver, until it is ended.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void fail(const char *what, const char *mend)
{
    fprintf(stderr, "reference-xdp: %s: %s\n%s\n", what, strerror(errno), mend);
    exit(1);
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fputs("usage: reference-xdp OBJECT PROGRAM INTERFACE\n", stderr);
        return 64;
    }
    struct bpf_object *object = bpf_object__open_file(argv[1], NULL);
    if (!object)
        fail(argv[1], "make builds it.");
    struct bpf_program *program = bpf_object__find_program_by_name(object, argv[2]);
    unsigned index = if_nametoindex(argv[3]);
    if (!program || index == 0)
        fail(program ? argv[3] : argv[2], "Name a program of the object and an interface of this namespace.");
    if (bpf_object__load(object) != 0)
        fail("loading", "It needs root and Linux 5.18.");
    LIBBPF_OPTS(bpf_link_create_opts, options, .flags = XDP_FLAGS_DRV_MODE);
    if (bpf_link_create(bpf_program__fd(program), index, BPF_XDP, &options) < 0)
        fail("attaching", "The interface's driver must have XDP, and no other program there.");
    for (;;)
        pause();
}
