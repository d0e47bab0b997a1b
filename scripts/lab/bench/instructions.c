// A plugin for qemu's user-mode emulation that counts the instructions a program executes, and
// with predict=on also its conditional branches and how many of them a simple predictor gets
// wrong. It declares the few functions of the plugin interface (version 1) that it calls, so
// that no header of qemu is needed.
//
//	cc -O2 -fPIC -shared -o count.so count.c
//	qemu-aarch64 -plugin ./count.so,out=FILE[,predict=on][,blocks=FILE] PROGRAM
//
// out gets one line "instructions N", and with predict=on "branches N" and "mispredictions N".
// blocks gets a line for each translated block: address, instructions in it, executions.
//
// The predictor is the larger of what cores had twenty years ago: a table of 2^16 two-bit
// counters indexed by the address and the directions of the last 12 branches (gshare), beside a
// table indexed by the address alone, and a third table that chooses (McFarling, 1993, DEC WRL
// Technical Note TN-36). It takes the place of no real core. It says which of two programs has
// more branches that depend on the data.
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <pthread.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef struct { const char *target_name; } qemu_info_t;
enum { NO_REGS = 0, ADD_U64 = 0 };
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, void (*)(unsigned, void *), int, void *);
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int, void *, uint64_t);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, void *), void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *);

#define EXPORT __attribute__((visibility("default")))
EXPORT int qemu_plugin_version = 1;

// A block is a translated block of the program.
struct block {
	struct block *next;
	uint64_t address, after; // of its first instruction, and of the one that follows its last
	uint64_t branch;         // the address of the conditional branch at its end; 0: there is none
	uint64_t executions, insns;
};

// A thread's last block, and the directions of its last branches.
struct thread {
	struct block *last;
	uint32_t history;
	uint64_t branches, wrong;
};

enum { BITS = 16, THREADS = 1024 };
static struct block *blocks;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct thread threads[THREADS];
static uint8_t global[1 << BITS], local[1 << BITS], chooser[1 << BITS]; // counters: 2 and 3 mean yes
static const char *out, *list;
static bool predict, is64;

static void count(uint8_t *c, bool up) {
	if (up && *c < 3) ++*c;
	if (!up && *c > 0) --*c;
}

static void executed(unsigned cpu, void *data) {
	struct block *b = data;
	struct thread *t = &threads[cpu % THREADS];
	struct block *last = t->last;
	b->executions++;
	t->last = b;
	if (!last || !last->branch) return;
	bool taken = b->address != last->after;
	uint32_t pc = last->branch >> 1, mask = (1 << BITS) - 1;
	uint8_t *g = &global[(pc ^ t->history << 4) & mask], *l = &local[pc & mask], *c = &chooser[pc & mask];
	bool byGlobal = *g >= 2, byLocal = *l >= 2;
	bool guess = *c >= 2 ? byGlobal : byLocal;
	t->branches++;
	t->wrong += guess != taken;
	if (byGlobal != byLocal) count(c, byGlobal == taken);
	count(g, taken);
	count(l, taken);
	t->history = (t->history << 1 | taken) & 0xfff;
}

// conditional says whether an instruction is a branch that may not be taken.
static bool conditional(const uint8_t *p, size_t size) {
	uint32_t w = p[0] | p[1] << 8;
	if (size == 2) // Thumb: B<cond>, and CBZ and CBNZ
		return (w >> 12 == 13 && (w >> 8 & 15) < 14) || (w & 0xf500) == 0xb100;
	uint32_t high = p[2] | (uint32_t)p[3] << 8;
	if (is64) {
		uint32_t op = high >> 8;
		return op == 0x54 || (op & 0x7c) == 0x34; // B.cond; CBZ, CBNZ, TBZ, TBNZ
	}
	if (w >> 11 == 30 && high >> 14 == 2) // Thumb: B<cond>.W
		return !(high & 0x1000) && (w >> 6 & 15) < 14;
	return (high >> 8 & 15) == 10 && high >> 12 < 14; // ARM: B<cond>
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb) {
	(void)id;
	struct block *b = calloc(1, sizeof *b);
	if (!b) abort();
	b->address = qemu_plugin_tb_vaddr(tb);
	b->insns = qemu_plugin_tb_n_insns(tb);
	struct qemu_plugin_insn *last = qemu_plugin_tb_get_insn(tb, b->insns - 1);
	size_t size = qemu_plugin_insn_size(last);
	uint64_t at = qemu_plugin_insn_vaddr(last);
	b->after = at + size;
	if (conditional(qemu_plugin_insn_data(last), size)) b->branch = at;
	pthread_mutex_lock(&lock);
	b->next = blocks;
	blocks = b;
	pthread_mutex_unlock(&lock);
	if (predict)
		qemu_plugin_register_vcpu_tb_exec_cb(tb, executed, NO_REGS, b);
	else
		qemu_plugin_register_vcpu_tb_exec_inline(tb, ADD_U64, &b->executions, 1);
}

static void finish(qemu_plugin_id_t id, void *data) {
	(void)id, (void)data;
	uint64_t insns = 0, branches = 0, wrong = 0;
	FILE *l = list ? fopen(list, "w") : NULL, *f = out ? fopen(out, "w") : stderr;
	if (!f) return;
	for (struct block *b = blocks; b; b = b->next) {
		insns += b->executions * b->insns;
		if (l && b->executions) fprintf(l, "%" PRIx64 " %" PRIu64 " %" PRIu64 "\n", b->address, b->insns, b->executions);
	}
	for (int i = 0; i < THREADS; i++) branches += threads[i].branches, wrong += threads[i].wrong;
	fprintf(f, "instructions %" PRIu64 "\n", insns);
	if (predict) fprintf(f, "branches %" PRIu64 "\nmispredictions %" PRIu64 "\n", branches, wrong);
	if (f != stderr) fclose(f);
	if (l) fclose(l);
}

EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv) {
	is64 = strcmp(info->target_name, "aarch64") == 0;
	for (int i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "out=", 4)) out = strdup(argv[i] + 4);
		else if (!strncmp(argv[i], "blocks=", 7)) list = strdup(argv[i] + 7);
		else if (!strcmp(argv[i], "predict=on")) predict = true;
		else return fprintf(stderr, "unknown argument %s\n", argv[i]), -1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	qemu_plugin_register_atexit_cb(id, finish, NULL);
	return 0;
}
