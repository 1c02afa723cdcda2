# Octavo. `make help` lists the targets and the variables; docs/testing.md says what each test run shows.

# ---- What the outside may set ----------------------------------------------------------------------------------

FIRMWARE ?= bios
MEM      ?= 256M
CPUS     ?= 1
LEVELS   ?= 4
BUILD    ?= debug
CMDLINE  ?=
SEED     ?=
SECONDS  ?= 60
MINUTES  ?= 5
BATCHES  ?= 1000
LINUX    ?= auto
GROWTH   ?= yes

ifeq ($(filter $(BUILD),debug release),)
$(error BUILD is `$(BUILD)`, but must be debug or release)
endif
ifeq ($(filter $(FIRMWARE),bios uefi),)
$(error FIRMWARE is `$(FIRMWARE)`, but must be bios or uefi)
endif
# $(1): a variable; $(2): what its value must match; $(3): the same in words
require = $(if $(shell printf '%s\n' '$($(1))' | grep -qxE '$(2)' && echo yes),,$(error $(1) is `$($(1))`, but must be $(3)))
$(call require,MEM,[1-9][0-9]*[KMGT],a number and K M G or T; 32M or more)
$(call require,CPUS,[1-9][0-9]*,1 or more)
$(call require,LEVELS,[45],4 or 5)
$(call require,LINUX,auto|reference|again,auto reference or again)
$(call require,GROWTH,yes|no,yes or no)
$(call require,MINUTES,[1-9][0-9]*,1 or more)
$(call require,BATCHES,[1-9][0-9]*,1 or more)
$(call require,SEED,([0-9]+|0x[0-9a-fA-F]+)?,a number)

CC      := gcc
HOST_CC := gcc
FUZZ_CC := clang
LD      := ld
NASM    := nasm

# FLUSH_OFF=n leaves one flush out (tools/flush_table.py): a kernel to see tests fail with.
FLUSH_OFF ?=
OUT  := build/$(if $(FLUSH_OFF),flush-off,$(BUILD))
HOST := build/host
TSAN := build/tsan
FUZZ := build/fuzz
HOST_BENCH := build/host-bench

.DEFAULT_GOAL := all
.DELETE_ON_ERROR:
.SUFFIXES:
# `make setup test` must not test while it installs, nor `make clean all` clean what it builds.
ifneq ($(filter setup clean,$(MAKECMDGOALS)),)
.NOTPARALLEL:
endif

# ---- Sources: every file that lies in the right folder -----------------------------------------------------------

find = $(sort $(wildcard $(1)))

SHARED_TESTS := $(call find,tests/suites/*.c tests/common/*.c)
KERNEL_SRC   := $(call find,lib/*.c arch/x86_64/*.c arch/x86_64/*.asm mm/*.c boot/*.c boot/*.asm kernel/*.c bench/*.c \
                            tests/kernel/*.c) $(SHARED_TESTS)
# What a process can run of it: the page-table format and the locks are shared, the C library brings memcpy and the like.
HOSTED_SRC   := $(filter-out lib/string.c,$(call find,lib/*.c)) $(call find,arch/host/*.c mm/*.c) \
                arch/x86_64/counters.c arch/x86_64/lock_graph.c arch/x86_64/spinlock.c boot/acpi.c boot/handoff.c
FUZZ_SRC     := $(call find,tests/host/fuzz_*.c)
HOST_SRC     := $(HOSTED_SRC) $(SHARED_TESTS) $(filter-out $(FUZZ_SRC),$(call find,tests/host/*.c))
HOST_BENCH_SRC := $(HOSTED_SRC) tests/host/host_boot.c $(call find,bench/host/*.c)
HEADERS      := $(call find,lib/include/lib/*.h arch/x86_64/include/arch/*.h arch/host/include/*/*.h mm/include/mm/*.h \
                            boot/include/boot/*.h kernel/include/kernel/*.h tests/include/test/*.h)
PRIVATE_HEADERS := $(call find,$(foreach d,lib arch/x86_64 arch/host mm boot kernel bench bench/host tests/common tests/kernel \
                            tests/host,$(d)/*.h))

# ---- Layers: what each folder may include. An upward include is "No such file" -------------------------------------

ARCH = -Iarch/x86_64/include
ARCH_HOSTED = -Iarch/host/include -Iarch/x86_64/include

# $(1): a source file; $(2): the include roots of the machine it is compiled for
layers = $(call layers_$(firstword $(subst /, ,$(1))),$(2))
layers_lib    = -Ilib/include
layers_arch   = $(1) -Ilib/include
layers_mm     = -Imm/include $(1) -Ilib/include
layers_boot   = -Iboot/include $(1) -Ilib/include
# kernel/ runs the suites, so it sees what a suite is.
layers_kernel = -Ikernel/include -Imm/include -Iboot/include $(1) -Ilib/include -Itests/include
layers_bench  = $(layers_kernel)
layers_tests  = $(layers_kernel) -Itests/common -Itests/kernel -Itests/host

# ---- Flags ---------------------------------------------------------------------------------------------------------

WARNINGS := -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wmissing-declarations \
            -Wold-style-definition -Wvla -Wundef -Wpointer-arith -Wwrite-strings
COMMON   := -std=gnu11 -g -fno-strict-aliasing -fno-common -fno-omit-frame-pointer -ffile-prefix-map=$(CURDIR)=. \
            $(WARNINGS)
# Debug backtraces name every caller, leaf functions' and tail calls' included.
BUILD_debug   := -DOCTAVO_DEBUG -mno-omit-leaf-frame-pointer -fno-optimize-sibling-calls
BUILD_release := -momit-leaf-frame-pointer

# `=`, not `:=`: the compiler may be installed by the same make that goes on to use it.
KERNEL_CFLAGS = $(COMMON) -O2 $(BUILD_$(BUILD)) -ffreestanding -nostdinc \
                -isystem $(shell $(CC) -print-file-name=include 2>/dev/null) -mcmodel=kernel -mno-red-zone \
                -mgeneral-regs-only -fno-pic -fno-pie -fno-stack-protector -fcf-protection=none \
                -fno-asynchronous-unwind-tables -Wframe-larger-than=2048 # a larger frame might step over a guard page
KERNEL_NASMFLAGS := -f elf64 -g -F dwarf -Werror
KERNEL_LDFLAGS := -nostdlib -static -z noexecstack -z max-page-size=4096 --build-id=none --fatal-warnings
HOST_CFLAGS := $(COMMON) -O1 -DOCTAVO_DEBUG -fsanitize=address,undefined -fno-sanitize-recover=all
TSAN_CFLAGS := $(COMMON) -O1 -DOCTAVO_DEBUG -fsanitize=thread
FUZZ_CFLAGS := $(COMMON) -O1 -DOCTAVO_DEBUG -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
# As the release kernel is compiled, so far as a process can be; what includes the C library's headers must have doubles.
HOST_BENCH_CFLAGS := $(COMMON) -O2 $(BUILD_release) -fno-pic -fno-pie -fno-stack-protector -fcf-protection=none
host_bench_cflags = $(HOST_BENCH_CFLAGS) $(if $(filter mm/% lib/% arch/x86_64/%,$(1)),-mgeneral-regs-only) \
                    $(call layers,$(1),$(ARCH_HOSTED)) $(if $(filter bench/%,$(1)),-Itests/host)

export ISO_CMDLINE ?=
export PYTHONDONTWRITEBYTECODE := 1
# A commit's time stands for the build's, so that two builds of one commit are one and the same.
export SOURCE_DATE_EPOCH := $(shell git log -1 --format=%ct 2>/dev/null || echo 315532800)

# ---- Kernel and ISO ------------------------------------------------------------------------------------------------

all: build/octavo.elf build/octavo.iso compile_commands.json ## the kernel and its bootable ISO

KERNEL_OBJ := $(KERNEL_SRC:%=$(OUT)/%.o)

$(OUT)/%.c.o: %.c $(OUT)/flags | need-kernel
	@mkdir -p $(@D)
	$(say) "CC      $<"
	$(quiet)$(CC) $(KERNEL_CFLAGS) $(call layers,$<,$(ARCH)) -MMD -MP -c $< -o $@

FLUSHING := $(OUT)/mm/pagetable.c.o $(OUT)/mm/pagetable_protect.c.o $(OUT)/mm/vm_map_ram.c.o $(OUT)/arch/x86_64/tlb.c.o
$(FLUSHING): $(if $(FLUSH_OFF),$(OUT)/flush.flags)
$(FLUSHING): KERNEL_CFLAGS += $(if $(FLUSH_OFF),-DOCTAVO_FLUSH_OFF=$(FLUSH_OFF))

$(OUT)/%.asm.o: %.asm tools/assemble $(OUT)/flags | need-kernel
	@mkdir -p $(@D)
	$(say) "NASM    $<"
	$(quiet)tools/assemble $< $@ $(NASM) $(KERNEL_NASMFLAGS)

$(OUT)/octavo.elf: $(KERNEL_OBJ) linker.ld $(OUT)/flags
	$(say) "LD      $@"
	$(quiet)$(LD) $(KERNEL_LDFLAGS) -T linker.ld -Map $(@:.elf=.map) $(KERNEL_OBJ) -o $@

$(OUT)/octavo.iso: $(OUT)/octavo.elf iso/boot/grub/grub.cfg tools/mkiso $(OUT)/iso.flags | need-iso
	$(say) "ISO     $@"
	$(quiet)tools/mkiso $< $@

# The current BUILD's, under the names that others rely on.
build/octavo.%: $(OUT)/octavo.% FORCE
	@cmp -s $< $@ || cp $< $@

# ---- Hosted tests ----------------------------------------------------------------------------------------------------

HOST_OBJ := $(HOST_SRC:%=$(HOST)/%.o)

$(HOST)/%.c.o: %.c $(HOST)/flags | need-host
	@mkdir -p $(@D)
	$(say) "HOSTCC  $<"
	$(quiet)$(HOST_CC) $(HOST_CFLAGS) $(call layers,$<,$(ARCH_HOSTED)) -MMD -MP -c $< -o $@

$(HOST)/octavo-tests: $(HOST_OBJ) $(HOST)/flags
	$(say) "HOSTLD  $@"
	$(quiet)$(HOST_CC) $(HOST_CFLAGS) $(HOST_OBJ) -lcmocka -o $@

# The same sources once more: no program can have both AddressSanitizer and ThreadSanitizer.
TSAN_OBJ := $(HOST_SRC:%=$(TSAN)/%.o)

$(TSAN)/%.c.o: %.c $(TSAN)/flags | need-host
	@mkdir -p $(@D)
	$(say) "TSANCC  $<"
	$(quiet)$(HOST_CC) $(TSAN_CFLAGS) $(call layers,$<,$(ARCH_HOSTED)) -MMD -MP -c $< -o $@

$(TSAN)/octavo-tests: $(TSAN_OBJ) $(TSAN)/flags
	$(say) "TSANLD  $@"
	$(quiet)$(HOST_CC) $(TSAN_CFLAGS) $(TSAN_OBJ) -lcmocka -o $@

# A fuzz target links what it calls, from an archive: tests/host/fuzz_x.c brings the entry point and panic().
FUZZ_LIB_SRC := $(HOSTED_SRC) $(call find,tests/common/*.c)
FUZZ_OBJ     := $(FUZZ_LIB_SRC:%=$(FUZZ)/%.o)
FUZZ_TARGETS := $(FUZZ_SRC:tests/host/%.c=$(FUZZ)/%)
.SECONDARY: $(FUZZ_SRC:%=$(FUZZ)/%.o)

$(FUZZ)/%.c.o: %.c $(FUZZ)/flags | need-fuzz
	@mkdir -p $(@D)
	$(say) "FUZZCC  $<"
	$(quiet)$(FUZZ_CC) $(FUZZ_CFLAGS) $(call layers,$<,$(ARCH_HOSTED)) -MMD -MP -c $< -o $@

$(FUZZ)/hosted.a: $(FUZZ_OBJ)
	@rm -f $@
	$(quiet)ar rcsD $@ $^

$(FUZZ)/fuzz_%: $(FUZZ)/tests/host/fuzz_%.c.o $(FUZZ)/hosted.a
	$(say) "FUZZLD  $@"
	$(quiet)$(FUZZ_CC) $(FUZZ_CFLAGS) -fsanitize=fuzzer $^ -o $@

# Octavo in a process without checks but its own, to be measured: the release build's hosted counterpart.
HOST_BENCH_OBJ := $(HOST_BENCH_SRC:%=$(HOST_BENCH)/%.o)

$(HOST_BENCH)/%.c.o: %.c $(HOST_BENCH)/flags | need-host
	@mkdir -p $(@D)
	$(say) "BENCHCC $<"
	$(quiet)$(HOST_CC) $(call host_bench_cflags,$<) -MMD -MP -c $< -o $@

$(HOST_BENCH)/host-bench: $(HOST_BENCH_OBJ) $(HOST_BENCH)/flags
	$(say) "BENCHLD $@"
	$(quiet)$(HOST_CC) $(HOST_BENCH_CFLAGS) -no-pie $(HOST_BENCH_OBJ) -pthread -ldl -o $@

# ---- Flags that change rebuild ---------------------------------------------------------------------------------------

$(OUT)/flags: CONTENT = $(CC) $(KERNEL_CFLAGS) $(KERNEL_NASMFLAGS) $(KERNEL_LDFLAGS) $(KERNEL_SRC)
$(OUT)/flush.flags: CONTENT = $(FLUSH_OFF)
$(OUT)/iso.flags: CONTENT = $(SOURCE_DATE_EPOCH) $(ISO_CMDLINE)
$(HOST)/flags: CONTENT = $(HOST_CC) $(HOST_CFLAGS) $(HOST_SRC)
$(TSAN)/flags: CONTENT = $(HOST_CC) $(TSAN_CFLAGS) $(HOST_SRC)
$(FUZZ)/flags: CONTENT = $(FUZZ_CC) $(FUZZ_CFLAGS) $(FUZZ_LIB_SRC)
$(HOST_BENCH)/flags: CONTENT = $(HOST_CC) $(HOST_BENCH_CFLAGS) $(HOST_BENCH_SRC)
$(OUT)/flags $(OUT)/flush.flags $(OUT)/iso.flags $(HOST)/flags $(TSAN)/flags $(FUZZ)/flags $(HOST_BENCH)/flags: FORCE
	@mkdir -p $(@D)
	@echo '$(CONTENT)' | cmp -s - $@ || echo '$(CONTENT)' >$@

-include $(KERNEL_OBJ:.o=.d) $(HOST_OBJ:.o=.d) $(TSAN_OBJ:.o=.d) $(HOST_BENCH_OBJ:.o=.d) $(FUZZ_OBJ:.o=.d) $(FUZZ_SRC:%.c=$(FUZZ)/%.c.d)

# ---- Running ---------------------------------------------------------------------------------------------------------

MACHINE = --iso $(OUT)/octavo.iso --firmware $(FIRMWARE) --mem $(MEM) --cpus $(CPUS) --levels $(LEVELS)
SEEDED  = $(if $(SEED),seed=$(SEED))
# Where nobody says otherwise, what the table's machine has.
BENCH_MEM = $(if $(filter file,$(origin MEM)),2G,$(MEM))
BENCH_RAW = tools/run_kernel.py --iso build/release/octavo.iso --firmware $(FIRMWARE) --mem $(BENCH_MEM) --levels $(LEVELS) \
	--cpu max,erms=off --bench --limit 900 --cmdline "$(CMDLINE) exit $(SEEDED)"

run: all | need-run ## boot the ISO in QEMU, serial console on this terminal (CMDLINE: "test shell" if empty)
	@tools/qemu.py run $(MACHINE) --cmdline "$(or $(CMDLINE),test shell) $(SEEDED)"

debug: all | need-run ## the same, stopped before the first instruction, waiting for `make gdb`
	@tools/qemu.py debug $(MACHINE) --cmdline "$(or $(CMDLINE),test shell) $(SEEDED)"

gdb: build/octavo.elf | need-gdb ## attach gdb, with symbols and Octavo's own commands, to `make debug`
	gdb -q -x tools/gdb/octavo.gdb build/octavo.elf

test: | need-all ## everything: host suites, both kernels on every machine of the matrix, gdb, fuzzing, reproducibility
	$(submake) BUILD=debug all hosted tsan fuzzers host-bench
	$(submake) BUILD=release build/release/octavo.iso
	@tools/test.py --seed "$(SEED)"

test-host: hosted ## the suites as a process, under ASan and UBSan
	@tools/test.py --only host --seed "$(SEED)"

test-tsan: tsan ## the suites that use several CPUs, threads here, under ThreadSanitizer
	@tools/test.py --only tsan --seed "$(SEED)"

test-kernel: all | need-run ## the suites in one kernel: FIRMWARE MEM CPUS LEVELS BUILD CMDLINE SEED say which
	@tools/run_kernel.py $(MACHINE) --verbose --cmdline "$(or $(CMDLINE),test) exit $(SEEDED)"

bench: | need-run ## Octavo and Linux side by side, in guest instructions (LINUX GROWTH); CMDLINE="bench=GLOB": raw rows
	$(submake) BUILD=release build/release/octavo.iso
	@$(if $(CMDLINE),$(BENCH_RAW),tools/bench.py run --linux $(LINUX) $(if $(filter no,$(GROWTH)),--no-growth))

bench-check: | need-run ## has any row of the benchmark become dearer than bench/counts.json says, by more than 2 %?
	$(submake) BUILD=release build/release/octavo.iso
	@tools/bench.py check

bench-update: | need-run ## write what the rows cost now to bench/counts.json
	$(submake) BUILD=release build/release/octavo.iso
	@tools/bench.py update

bench-host: host-bench | need-bench-host ## on this machine's processor, in nanoseconds: kmalloc beside malloc libraries, the buddy and va_space beside simpler ways
	@tools/bench_host.py

soak: all | need-run ## all CPUs under stress for MINUTES (5), a line per second: CPUS MEM BUILD FIRMWARE SEED say where
	@tools/run_kernel.py $(MACHINE) --soak --limit $$(( $(MINUTES) * 60 + 300 )) --cmdline "soak=$(MINUTES) exit $(SEEDED)"

# A small machine unless MEM says otherwise: the more RAM, the fewer of the pages compared are ever changed.
ptcheck: all | need-run ## QEMU's walk, our own and the kernel's word agree on every page, after each of BATCHES (1000): SEED CPUS LEVELS MEM
	@tools/ptcheck.py $(MACHINE) $(if $(filter file,$(origin MEM)),--mem 64M) --batches $(BATCHES) --seed "$(SEED)"

flush-table: | need-kernel need-iso need-run ## turn off one TLB flush after the other: which tests notice? (ten minutes)
	@tools/flush_table.py

fuzz: fuzzers ## libFuzzer over the parsers of untrusted input for SECONDS (60) each; KEEP=keep adds its finds to the corpus
	@for target in $(FUZZ_TARGETS); do tools/fuzz $$target $(SECONDS) $(KEEP) || exit 1; done

hosted: $(HOST)/octavo-tests
tsan: $(TSAN)/octavo-tests
fuzzers: $(FUZZ_TARGETS)
host-bench: $(HOST_BENCH)/host-bench

# ---- Care ------------------------------------------------------------------------------------------------------------

C_FILES = $(filter %.c,$(KERNEL_SRC) $(HOST_SRC) $(FUZZ_SRC) $(HOST_BENCH_SRC)) $(HEADERS) $(PRIVATE_HEADERS)

check: check-format check-headers check-cppcheck check-tidy ## formatting, headers on their own, cppcheck, clang-tidy
	@echo "check: clean"

check-format: | need-all
	@clang-format --dry-run -Werror $(sort $(C_FILES))

# Each header compiles alone, in its own layer.
check-headers: $(HEADERS:%=alone/%)
alone/arch/host/%: arch/host/% FORCE
	@$(HOST_CC) $(HOST_CFLAGS) $(call layers,$<,$(ARCH_HOSTED)) -fsyntax-only -x c $<
alone/%: % FORCE
	@$(CC) $(KERNEL_CFLAGS) $(call layers,$<,$(ARCH)) -fsyntax-only -x c $<

check-cppcheck: compile_commands.json | need-all
	@mkdir -p build/cppcheck
	@cppcheck --project=compile_commands.json --quiet --enable=warning,performance,portability \
		--suppressions-list=tools/cppcheck.suppressions --cppcheck-build-dir=build/cppcheck \
		-j$(shell nproc) --error-exitcode=1

# .clang-tidy has the checks, and why some are left out. Two files it cannot judge: one makes mistakes on purpose; in the
# other it follows a tree that cannot be, as rb_check() shows after every step of the tests.
TIDY_SKIPS := kernel/crash.c lib/rbtree.c
check-tidy: compile_commands.json | need-all
	@printf '%s\n' $(filter-out $(TIDY_SKIPS),$(filter %.c,$(sort $(C_FILES)))) | \
		xargs -P$(shell nproc) -n4 clang-tidy -p . --quiet 2>build/tidy.log || { cat build/tidy.log; exit 1; }

format: | need-all ## rewrite the C files as .clang-format says
	clang-format -i $(sort $(C_FILES))

setup: ## install the tools that are missing, with apt
	@tools/setup

clean: ## remove everything that was built
	rm -rf build compile_commands.json

help: ## this list
	@echo "Targets:"
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-14s %s\n", $$1, $$2}'
	@echo "Variables (with their defaults):"
	@echo "  FIRMWARE=bios|uefi ($(FIRMWARE))  MEM=256M ($(MEM))  CPUS=1 ($(CPUS))  BUILD=debug|release ($(BUILD))"
	@echo "  LEVELS=4|5 ($(LEVELS)) of page tables that the CPUs can walk"
	@echo "  CMDLINE=\"…\" kernel parameters, as tests need them: test=GLOB bench=GLOB seed=N exit shell vmalloc=SIZE nokaslr"
	@echo "  ISO_CMDLINE=\"…\" parameters written into the ISO, for machines without fw_cfg"
	@echo "  LINUX=auto|reference|again ($(LINUX)) for bench: measured once and kept, not at all, or now   GROWTH=yes|no ($(GROWTH))"
	@echo "  SEED=n repeats a randomised run   V=1 shows whole commands   SECONDS=n KEEP=keep for fuzz   MINUTES=n for soak"
	@echo "  BATCHES=n for ptcheck"

# For editors and clang-tidy: how each C file is compiled, in the kernel if it is part of it, else on the host.
compile_commands.json: $(OUT)/flags $(HOST)/flags $(HOST_BENCH)/flags
	@$(file >$@,[$(foreach f,$(filter %.c,$(KERNEL_SRC)),$(call entry,$f,$(CC) $(KERNEL_CFLAGS) $(call layers,$f,$(ARCH)))) \
		$(foreach f,$(filter-out $(KERNEL_SRC),$(HOST_SRC) $(FUZZ_SRC)),$(call \
			entry,$f,$(HOST_CC) $(HOST_CFLAGS) $(call layers,$f,$(ARCH_HOSTED)))) \
		$(foreach f,$(filter bench/host/%,$(HOST_BENCH_SRC)),$(call \
			entry,$f,$(HOST_CC) $(call host_bench_cflags,$f))))sed -i 's/}, *{/},\n{/g; $$s/},$$/}]/' $@
entry = {"directory": "$(CURDIR)", "file": "$(1)", "command": "$(2) -c $(1)"},

need-kernel: ; @tools/need $(CC) $(LD) $(NASM)
need-iso:    ; @tools/need grub-mkrescue xorriso mformat /usr/lib/grub/i386-pc/multiboot2.mod \
	/usr/lib/grub/x86_64-efi/multiboot2.mod
need-host:   ; @tools/need $(HOST_CC) /usr/include/cmocka.h
need-fuzz:   ; @tools/need $(FUZZ_CC)
need-run:    ; @tools/need python3 qemu-system-x86_64 /usr/share/OVMF/OVMF_CODE_4M.fd
need-gdb:    ; @tools/need gdb
need-bench-host: ; @tools/need python3 /usr/lib/x86_64-linux-gnu/libmimalloc.so.2 /usr/lib/x86_64-linux-gnu/libjemalloc.so.2
need-all: need-kernel need-iso need-host need-fuzz need-run need-gdb need-bench-host ; @tools/need cppcheck clang-tidy clang-format

submake = @+$(MAKE) --no-print-directory $(if $(filter -j% --jobserver%,$(MAKEFLAGS)),,-j$(shell nproc))
quiet = $(if $(V),,@)
say   = @$(if $(V),:,echo)

.PHONY: all run debug gdb test test-host test-tsan test-kernel bench bench-check bench-update bench-host soak ptcheck flush-table fuzz hosted tsan fuzzers host-bench check check-format check-headers \
        check-cppcheck check-tidy format setup clean help FORCE \
        need-kernel need-iso need-host need-fuzz need-run need-gdb need-bench-host need-all
