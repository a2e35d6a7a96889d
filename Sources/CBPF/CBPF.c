#define _GNU_SOURCE 1
#include "CBPF.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/membarrier.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/// The daemon says what failed in its own words.
static int say_nothing(enum libbpf_print_level level, const char *format, va_list arguments) {
    (void)level, (void)format, (void)arguments;
    return 0;
}

struct cbpf_object *cbpf_open(const void *elf, size_t byte_count, int *error) {
    libbpf_set_print(say_nothing);
    struct bpf_object *object = bpf_object__open_mem(elf, byte_count, NULL);
    *error = object ? 0 : -errno;
    return (struct cbpf_object *)object;
}

int cbpf_set_entries(struct cbpf_object *object, const char *name, uint32_t count) {
    struct bpf_map *map = bpf_object__find_map_by_name((struct bpf_object *)object, name);
    return map ? bpf_map__set_max_entries(map, count) : -ENOENT;
}

int cbpf_load(struct cbpf_object *object, char *log, size_t log_byte_count) {
    struct bpf_program *program = bpf_object__find_program_by_name((struct bpf_object *)object, "relay_xdp");
    if (!program) { return -ENOENT; }
    log[0] = 0;
    // Level 4 is statistics alone, and what an error needs.
    bpf_program__set_log_level(program, 4);
    bpf_program__set_log_buf(program, log, log_byte_count);
    return bpf_object__load((struct bpf_object *)object);
}

void cbpf_close(struct cbpf_object *object) { bpf_object__close((struct bpf_object *)object); }

int cbpf_map(const struct cbpf_object *object, const char *name) {
    return bpf_object__find_map_fd_by_name((struct bpf_object *)object, name);
}

int cbpf_program(const struct cbpf_object *object, const char *name) {
    struct bpf_program *program = bpf_object__find_program_by_name((struct bpf_object *)object, name);
    return program ? bpf_program__fd(program) : -ENOENT;
}

int cbpf_instruction_count(int program) {
    struct bpf_prog_info info = {0};
    uint32_t length = sizeof info;
    int error = bpf_obj_get_info_by_fd(program, &info, &length);
    return error ? -errno : (int)(info.xlated_prog_len / sizeof(struct bpf_insn));
}

void *cbpf_share(int map, size_t byte_count, int *error) {
    void *memory = mmap(NULL, byte_count, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);
    *error = memory == MAP_FAILED ? -errno : 0;
    return memory == MAP_FAILED ? NULL : memory;
}

void cbpf_unshare(void *memory, size_t byte_count) { (void)munmap(memory, byte_count); }

int cbpf_add_device(int map, uint32_t interface_index) {
    return bpf_map_update_elem(map, &interface_index, &interface_index, BPF_ANY) ? -errno : 0;
}

int cbpf_remove_device(int map, uint32_t interface_index) {
    return bpf_map_delete_elem(map, &interface_index) ? -errno : 0;
}

int cbpf_attach(int program, uint32_t interface_index, int native) {
    LIBBPF_OPTS(bpf_link_create_opts, options, .flags = native ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE);
    int link = bpf_link_create(program, (int)interface_index, BPF_XDP, &options);
    return link < 0 ? -errno : link;
}

int cbpf_check_link(int link, int program) {
    struct bpf_prog_info expected = {0};
    struct bpf_link_info found = {0};
    uint32_t length = sizeof expected;
    if (bpf_obj_get_info_by_fd(program, &expected, &length)) { return -errno; }
    length = sizeof found;
    if (bpf_obj_get_info_by_fd(link, &found, &length)) { return -errno; }
    if (found.xdp.ifindex == 0) { return -ENODEV; }
    return found.prog_id == expected.id ? 0 : -EBUSY;
}

int cbpf_test(int program, struct cbpf_run *run) {
    struct xdp_md context = {.data = run->metadata_byte_count,
                             .data_end = run->packet_byte_count,
                             .ingress_ifindex = run->interface_index};
    LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = run->packet, .data_size_in = run->packet_byte_count,
                .data_out = run->result, .data_size_out = run->result_byte_count, .repeat = (int)run->repeat);
    if (run->interface_index || run->metadata_byte_count) {
        options.ctx_in = &context;
        options.ctx_size_in = sizeof context;
    }
    if (bpf_prog_test_run_opts(program, &options)) { return -errno; }
    run->result_byte_count = options.data_size_out;
    run->verdict = options.retval;
    run->duration = options.duration;
    return 0;
}

int cbpf_test_all(int program, struct cbpf_run *runs, size_t count) {
    for (size_t i = 0; i < count; i++) {
        int error = cbpf_test(program, &runs[i]);
        if (error) { return error; }
    }
    return 0;
}

int cbpf_possible_cpus(void) { return libbpf_num_possible_cpus(); }

int cbpf_wait_for_readers(void) {
    // Waits for a grace period of RCU, under whose protection every XDP program runs.
    return syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) ? -errno : 0;
}

uint64_t cbpf_tick_nanoseconds(void) {
    struct timespec tick = {0};
    clock_getres(CLOCK_MONOTONIC_COARSE, &tick);
    return (uint64_t)tick.tv_sec * 1000000000u + (uint64_t)tick.tv_nsec;
}
