#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Counts the instructions Linux spends per memory operation; README.md explains what and how.
#
# Everything is fetched and built under OUTPUT_DIR/work; nothing is installed.

set -euo pipefail

usage() {
	cat <<-'EOF'
	usage: run.sh [options] OUTPUT_DIR

	  --config lean4|default|tiny  lean4 (default): Debian's kernel, hardening and 5-level tables switched off
	                               default: Debian's kernel as it boots
	                               tiny: Debian's source built with tiny.config (takes some minutes)
	  --groups "A B ..."           some of: calibrate boot page kmalloc cache vmalloc arena vmap scenario memory
	                               big kvfree (default: all; calibrate always runs)
	  --quick                      calibrate, page, kmalloc, cache and vmalloc only; a tenth of the long loops
	  --suite NAME                 take the kernel from another Debian suite (trixie, sid) than the machine's own
	  --possible-cpus N            a guest of N processors of which Linux starts one (default 1)
	EOF
}

config=lean4
groups="calibrate boot page kmalloc cache vmalloc arena vmap scenario memory big kvfree"
divisor=1
suite=""
possible_cpus=1
output=""

while [ $# -gt 0 ]; do
	case $1 in
	--config) config=$2; shift ;;
	--groups) groups="calibrate ${2//calibrate/}"; shift ;;
	--quick) groups="calibrate page kmalloc cache vmalloc"; divisor=10 ;;
	--suite) suite=$2; shift ;;
	--possible-cpus) possible_cpus=$2; shift ;;
	-h | --help) usage; exit 0 ;;
	-*) usage >&2; exit 2 ;;
	*) output=$1 ;;
	esac
	shift
done
case $config in lean4 | default | tiny) ;; *) usage >&2; exit 2 ;; esac
[ -n "$output" ] || { usage >&2; exit 2; }

here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$output/work" "$output/logs"
output=$(cd "$output" && pwd)
work=$output/work

say() { echo "$(date +%T) $*" >&2; }

# ---------------------------------------------------------------------------- tools

# Nothing is installed: what is missing is named.
demand_tools() {
	local tool missing=""
	for tool in "$@"; do
		case $tool in
		/*) [ -e "$tool" ] || missing+=" $tool" ;;
		*) command -v "$tool" >/dev/null || missing+=" $tool" ;;
		esac
	done
	[ -z "$missing" ] || { say "missing:$missing"; exit 1; }
}

# ---------------------------------------------------------------------------- packages

# Package lists and a cache of our own, on the mirrors the machine already uses: no root, and nothing of the machine's changes.
configure_apt() {
	local mirror
	mkdir -p "$work/apt/lists/partial" "$work/apt/cache/archives/partial"
	cat >"$work/apt/apt.conf" <<-EOF
		Dir::State::Lists "$work/apt/lists";
		Dir::Cache "$work/apt/cache";
		Acquire::Languages "none";
		Acquire::Retries "1";
		Acquire::http::Timeout "20";
		Acquire::https::Timeout "20";
		APT::Sandbox::User "";
	EOF
	if [ -n "$suite" ]; then
		# shellcheck disable=SC2016  # apt-get fills in $(REPO_URI)
		mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' |
			grep -E '/debian/?$' | head -n 1)
		echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror $suite main" \
			>"$work/apt/sources.list"
		cat >>"$work/apt/apt.conf" <<-EOF
			Dir::Etc::sourcelist "$work/apt/sources.list";
			Dir::Etc::sourceparts "/dev/null";
		EOF
	fi
	export APT_CONFIG=$work/apt/apt.conf
	say "fetching the package lists"
	apt-get update --error-on=any >"$output/logs/apt.log" 2>&1 || { say "the package lists could not be fetched (logs/apt.log)"; exit 1; }
}

# Download packages, with /SUITE where one was asked for, and unpack them beside the system.
unpack() {
	local root=$1
	shift
	mkdir -p "$work/packages" "$root"
	(cd "$work/packages" && rm -f ./*.deb &&
		apt-get download "${@/%/${suite:+/$suite}}" >>"$output/logs/apt.log" 2>&1) ||
		{ say "could not download $* (logs/apt.log)"; exit 1; }
	local package
	for package in "$work"/packages/*.deb; do
		dpkg -x "$package" "$root"
	done
}

depends() { apt-cache depends "$1${suite:+/$suite}" | sed -n 's/^ *Depends: //p'; }

# ---------------------------------------------------------------------------- Debian's kernel

# The headers come with build tools made for the suite's own C library: let that library's loader start them.
wrap_newer_tools() {
	local library=$work/tool-libraries/usr/lib/x86_64-linux-gnu kbuild tool
	say "fetching the C library of $suite for the kernel's build tools"
	unpack "$work/tool-libraries" libc6 libelf1t64 zlib1g libzstd1 libssl3t64
	kbuild=$(echo "$work"/kernel/usr/lib/linux-kbuild-*)
	find "$kbuild" -type f -perm /111 ! -name '*.elf' | while read -r tool; do
		[ "$(head -c 4 "$tool" | tail -c 3)" = ELF ] || continue
		mv "$tool" "$tool.elf"
		printf '#!/bin/sh\nexec "%s" --library-path "%s" "%s" "$@"\n' \
			"$library/ld-linux-x86-64.so.2" "$library" "$tool.elf" >"$tool"
		chmod +x "$tool"
	done
	# These two only start the variant for a word size or a processor.
	ln -sf modpost.real-lsb-64 "$kbuild/scripts/mod/modpost"
	ln -sf objtool.real-x86 "$kbuild/tools/objtool/objtool"
}

# The kernel's flags are those of the compiler it was built with; ours may not know all of them.
make_compiler_filter() {
	cat >"$work/gcc-filter" <<-'EOF'
		#!/bin/bash
		arguments=()
		for argument in "$@"; do
			case $argument in
			-fmin-function-alignment=* | -fzero-init-padding-bits=* | -fdiagnostics-show-context* | \
			-Wno-unterminated-string-initialization | -Wno-dangling-pointer-to-local | \
			-fstrict-flex-arrays=* | -std=gnu2[3-9]) ;;
			*) arguments+=("$argument") ;;
			esac
		done
		exec gcc "${arguments[@]}"
	EOF
	chmod +x "$work/gcc-filter"
}

fetch_debian_kernel() {
	abi=$(depends linux-image-amd64 | sed -n 's/^linux-image-\(.*\)$/\1/p' | head -n 1)
	say "fetching linux-image-$abi and its headers"
	# shellcheck disable=SC2046  # lists of words
	unpack "$work/kernel" "linux-image-$abi" "linux-headers-$abi" \
		$(depends "linux-headers-$abi" | grep -E '^linux-(headers-.*-common|kbuild)') \
		$(depends "linux-image-$abi" | grep '^linux-binary-' || true)
	kernel=$(find "$work/kernel" -name 'vmlinuz*' -type f | head -n 1)

	local headers=$work/kernel/usr/src/linux-headers-$abi
	sed -i "s#\([= ]\)/usr/src/#\1$work/kernel/usr/src/#" "$headers/Makefile"
	[ -z "$suite" ] || wrap_newer_tools
	make_compiler_filter
	module_make=(make -C "$headers" "CC=$work/gcc-filter" CONFIG_DEBUG_INFO_BTF_MODULES=)
}

# ---------------------------------------------------------------------------- the tiny kernel

build_tiny_kernel() {
	local package
	package=$(depends linux-source | head -n 1)
	say "fetching $package"
	unpack "$work/source" "$package"
	(cd "$work/source" && tar xf usr/src/linux-source-*.tar.xz)
	local tree=$work/source/$package
	abi=$(make -s -C "$tree" kernelversion)
	say "building Linux $abi with tiny.config"
	make -C "$tree" tinyconfig >"$output/logs/build.log" 2>&1
	(cd "$tree" && scripts/kconfig/merge_config.sh .config "$here/tiny.config" >>"$output/logs/build.log" 2>&1)
	make -C "$tree" -j"$(nproc)" bzImage modules_prepare >>"$output/logs/build.log" 2>&1
	cp "$tree/.config" "$output/config"
	kernel=$tree/arch/x86/boot/bzImage
	module_make=(make -C "$tree" KBUILD_MODPOST_WARN=1)
}

# ---------------------------------------------------------------------------- module and initramfs

# Byte for byte the same wherever it is built: not even the place of the module's text may differ between two runs.
build_initramfs() {
	say "building the module and the initramfs"
	rm -rf "$work/module" "$work/initramfs"
	cp -r "$here/module" "$work/module"
	"${module_make[@]}" M="$work/module" KCFLAGS="-g0 -fmacro-prefix-map=$work/module/=" modules \
		>"$output/logs/module.log" 2>&1 ||
		{ cat "$output/logs/module.log" >&2; exit 1; }
	mkdir -p "$work/initramfs/dev" "$work/initramfs/proc"
	gcc -O2 -Wall -static -o "$work/initramfs/init" "$here/init.c"
	cp "$work/module/anchor.ko" "$work/initramfs/"
	python3 "$here/initramfs.py" "$work/initramfs" >"$work/initramfs.cpio"
}

# ---------------------------------------------------------------------------- running

case $config in
lean4)
	cpu=max,erms=off
	command_line="mitigations=off nopti nokaslr no5lvl init_on_alloc=0 init_on_free=0 cgroup.memory=nokmem" ;;
default)
	cpu=max
	command_line= ;;
tiny)
	cpu=max,erms=off
	command_line="mitigations=off no5lvl" ;;
esac

[ "$possible_cpus" = 1 ] || command_line+=" maxcpus=1"

# boot LOG MEMORY PARAMETERS: one machine, from reset to power-off
boot() {
	timeout --foreground 1800 qemu-system-x86_64 -accel tcg -icount shift=0,sleep=off -M q35 -cpu "$cpu" \
		-smp "$possible_cpus" -m "$2" -seed 1 -rtc base=2024-01-01T00:00:00,clock=vm \
		-net none -nographic -no-reboot -kernel "$kernel" -initrd "$work/initramfs.cpio" \
		-append "console=ttyS0 panic=-1 $command_line anchor=$3" </dev/null >"$output/logs/$1.log" 2>&1 ||
		say "$1: the machine did not power off by itself"
}

demand_tools apt-get dpkg qemu-system-x86_64 gcc make python3 perl /usr/lib/x86_64-linux-gnu/libc.a
[ "$config" != tiny ] || demand_tools flex bison bc xz /usr/include/libelf.h
configure_apt
if [ "$config" = tiny ]; then build_tiny_kernel; else fetch_debian_kernel; fi
build_initramfs

unfinished=""
for group in $groups; do
	say "measuring $group"
	case $group in
	boot) boot boot-2G 2G boot; boot boot-8G 8G boot ;;
	big) boot big 4G "group=big,divisor=$divisor" ;;
	*) boot "$group" 2G "group=$group,divisor=$divisor" ;;
	esac
	[ "$group" = boot ] || grep -aq 'ANCHOR|value|done' "$output/logs/$group.log" || unfinished+=" $group"
done
[ -z "$unfinished" ] || { say "did not finish:$unfinished (their serial output: logs)"; exit 1; }

name=$config
[ "$possible_cpus" = 1 ] || name+="-$possible_cpus-cpus"
python3 "$here/collect.py" --kernel "$abi" --config "$name" "$output"/logs/*.log >"$output/results.jsonl.new"
mv "$output/results.jsonl.new" "$output/results.jsonl"
say "results in $output/results.jsonl"
