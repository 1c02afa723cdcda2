#!/usr/bin/env python3
"""The virtual machine that Octavo runs on: QEMU's command line, and `make run` / `make debug` on top of it.

Software emulation only. Kernel parameters travel as the fw_cfg file opt/octavo/cmdline, so one ISO serves every run.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import Optional

OVMF = "/usr/share/OVMF"
UNITS = {"": 1 << 20, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}

# isa-debug-exit turns the value v that the kernel writes into status v << 1 | 1.
PASSED, FAILED, PANICKED = 0x10 << 1 | 1, 0x11 << 1 | 1, 0x12 << 1 | 1


@dataclass
class Machine:
    iso: Optional[str]
    firmware: str = "bios"
    mem: str = "256M"
    cpus: int = 1
    cpu: str = "max"
    levels: int = 4  # of page tables that the processors can walk, at most: 5 with LA57
    weaker: bool = False  # one more CPU that can walk only 4
    cmdline: str = ""
    debug_exit: bool = True  # with False, nothing takes the kernel's last word: it halts, and QEMU goes on
    acpi: bool = True  # with False, UEFI firmware has no tables to hand over; SeaBIOS makes its own
    rom: Optional[str] = None  # a firmware image of one's own, in place of `firmware`
    monitor: Optional[str] = None  # a socket's path, at which QEMU answers to QMP (tools/monitor.py)
    ram_file: Optional[str] = None  # holds the guest's memory while it runs, from physical address 0 on; below 2 GiB
    icount: Optional[int] = None  # guest nanoseconds per instruction are 1 << icount; counting makes runs repeatable

    def memory_bytes(self):
        match = re.fullmatch(r"(\d+)([KMGT]?)", self.mem)
        if not match:
            raise SystemExit(f"MEM is `{self.mem}`, but must be a number and K, M, G or T")
        return int(match[1]) * UNITS[match[2]]

    def command(self, scratch):
        """QEMU's words; `scratch` is a directory for this run's private files."""
        words = ["qemu-system-x86_64", "-accel", "tcg", "-no-reboot", "-nic", "none"] + self._processors()
        words += ["-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"] if self.debug_exit else []
        words += ["-cdrom", self.iso] if self.iso else []
        words += [] if self.acpi else ["-no-acpi"]
        words += self._memory()
        if self.rom:
            words += ["-bios", self.rom]
        elif self.firmware == "uefi":
            variables = os.path.join(scratch, "ovmf-vars.fd")
            shutil.copy(f"{OVMF}/OVMF_VARS_4M.fd", variables)
            words += ["-drive", f"if=pflash,format=raw,readonly=on,file={OVMF}/OVMF_CODE_4M.fd"]
            words += ["-drive", f"if=pflash,format=raw,file={variables}"]
        if self.cmdline.strip():
            escaped = self.cmdline.strip().replace(",", ",,")
            words += ["-fw_cfg", f"name=opt/octavo/cmdline,string={escaped}"]
        if self.icount is not None:
            # Nothing that the host's clock or chance decides reaches the guest: a run repeats to the instruction.
            words += ["-icount", f"shift={self.icount},sleep=off", "-rtc", "base=2024-01-01T00:00:00,clock=vm", "-seed", "1"]
        if self.monitor:
            words += ["-chardev", f"socket,id=monitor,path={self.monitor},server=on,wait=off"]
            words += ["-mon", "chardev=monitor,mode=control"]
        return words

    def _model(self):
        """A model that names the feature itself is taken at its word."""
        return self.cpu if "la57" in self.cpu else f"{self.cpu},la57={'on' if self.levels == 5 else 'off'}"

    def _processors(self):
        if not self.weaker:
            return ["-smp", str(self.cpus)]
        one_more = f"{self.cpu.split(',')[0]}-x86_64-cpu,socket-id={self.cpus},core-id=0,thread-id=0,la57=off"
        sockets = self.cpus + 1
        return ["-smp", f"cpus={self.cpus},maxcpus={sockets},sockets={sockets},cores=1,threads=1", "-device", one_more]

    def _memory(self):
        """More than this host may have is backed lazily: the host pays only for the pages that the guest touches."""
        size = self.memory_bytes()
        if self.ram_file:
            backend = f"memory-backend-file,id=m0,size={size},mem-path={self.ram_file},share=on"
            return ["-M", "q35,memory-backend=m0", "-object", backend, "-m", self.mem, "-cpu", self._model()]
        if size < 8 << 30:
            return ["-M", "q35", "-m", self.mem, "-cpu", self._model()]
        backend = f"memory-backend-ram,id=m0,size={size},reserve=off"
        # Wide enough for RAM and the devices above it, and no wider: OVMF prepares all that the processor can address.
        wide = f",phys-bits={max(40, size.bit_length() + 1)}"
        return ["-M", "q35,memory-backend=m0", "-object", backend, "-m", self.mem, "-cpu", self._model() + wide]


def add_machine_arguments(parser):
    parser.add_argument("--iso", required=True)
    parser.add_argument("--firmware", default="bios", choices=["bios", "uefi"])
    parser.add_argument("--mem", default="256M", help="a number and K, M, G or T")
    parser.add_argument("--cpus", default=1, type=int)
    parser.add_argument("--cpu", default="max", help="QEMU's CPU model")
    parser.add_argument("--levels", default=4, type=int, choices=[4, 5], help="of page tables, as the CPU can walk them")
    parser.add_argument("--cmdline", default="", help="kernel parameters")


def machine_from(arguments):
    names = ("iso", "firmware", "mem", "cpus", "cpu", "levels", "cmdline")
    return Machine(**{name: getattr(arguments, name) for name in names})


def main():
    parser = argparse.ArgumentParser(description="Run Octavo with its serial console on this terminal.")
    parser.add_argument("mode", choices=["run", "debug"])
    add_machine_arguments(parser)
    arguments = parser.parse_args()
    machine = machine_from(arguments)

    print(f"Octavo on {machine.cpus} CPU(s) with {machine.mem}, {machine.firmware.upper()}, parameters: {machine.cmdline}")
    print("Leave with Ctrl-A X; Ctrl-A C switches to QEMU's monitor and back.")
    if arguments.mode == "debug":
        print("Stopped before the first instruction. In another terminal: make gdb")
    sys.stdout.flush()

    with tempfile.TemporaryDirectory(prefix="octavo-") as scratch:
        command = machine.command(scratch) + ["-display", "none", "-serial", "mon:stdio"]
        if arguments.mode == "debug":
            command += ["-s", "-S"]
        status = subprocess.call(command)
    outcome = {0: 0, PASSED: 0}
    if status == FAILED:
        print("Tests failed.")
    elif status == PANICKED:
        print("The kernel panicked.")
    elif status not in outcome:
        print(f"QEMU ended with status {status}.")
    sys.exit(outcome.get(status, 1))


if __name__ == "__main__":
    main()
