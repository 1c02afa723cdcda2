#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Turns the guests' serial logs into JSON lines, one measurement each; the first says which kernel and configuration.

    collect.py --kernel NAME --config NAME LOG... > results.jsonl
"""
import argparse
import json
import os
import re


def number(text):
    try:
        return int(text)
    except ValueError:
        try:
            return float(text)
        except ValueError:
            return text


def fields(parts):
    return {key: number(value) for key, _, value in (part.partition("=") for part in parts)}


def lines_of(path):
    """The guest's lines: ('sample', [workload, op, 'key=value', ...]) and so on."""
    with open(path, errors="replace") as log:
        for line in log:
            found = re.search(r"ANCHOR\|(\w+)\|(.*)", line.replace("\r", "").rstrip("\n"))
            if found:
                yield found.group(1), found.group(2).split("|")


def tick_cost(logs):
    """Instructions per timer tick: what the interrupted samples of one loop have more than the clean ones."""
    for path in logs:
        for kind, parts in lines_of(path):
            if kind == "sample" and parts[0] == "calibrate/tick":
                loop = fields(parts[2:])
                if loop["interrupted"] and "median" in loop:
                    return (loop["mean_all"] - loop["median"]) * loop["n"] / loop["interrupted"]
    return 0.0


def boot_record(path, name):
    record = {"workload": name, "op": "boot"}
    with open(path, errors="replace") as log:
        text = log.read()
    found = re.search(r"\[ *(\d+\.\d+)\] Run /init", text)
    if found:
        record["after_clock_start"] = round(float(found.group(1)) * 1e9)
    for kind, parts in lines_of(path):
        if kind == "value" and parts[0] == "boot/first-user-instruction":
            record["first_user_instruction"] = fields(parts[1:])["ticks"]
        elif kind == "meminfo":
            key, _, value = parts[0].partition(":")
            if key in ("MemTotal", "MemFree"):
                record[key] = int(value.split()[0])
    memory = re.search(r"Memory: (\d+)K/(\d+)K available", text)
    if memory:
        record["ram_kib"] = int(memory.group(2))
        record["used_at_init_kib"] = record["ram_kib"] - record.get("MemFree", 0)
    return record


def collect(arguments):
    tick = tick_cost(arguments.logs)
    records = {("meta", ""): {"meta": True, "kernel": arguments.kernel, "config": arguments.config,
                              "unit": "instructions", "tick": round(tick)}}
    for path in arguments.logs:
        name = os.path.basename(path)[: -len(".log")]
        if name.startswith("boot-"):
            records[name, "boot"] = boot_record(path, name.replace("-", "/"))
        for kind, parts in lines_of(path):
            if kind == "sample":
                record = {"workload": parts[0], "op": parts[1], **fields(parts[2:])}
                record["mean"] = round(record["mean_all"] - tick * record["interrupted"] / record["n"], 1)
                records[parts[0], parts[1]] = record        # a later round replaces an earlier one
            elif kind == "mean":
                records[parts[0], parts[1]] = {"workload": parts[0], "op": parts[1], **fields(parts[2:])}
            elif kind == "value" and parts[0] == "align_shift":
                shift = fields(parts[1:])
                records["align_shift", shift["shift"]] = {
                    "workload": "scenario/align_shift_alloc/%d" % shift["shift"],
                    "op": "alloc" if shift["ok"] else "refused", "mean": shift["ticks"]}
            elif kind == "value" and parts[0] not in ("done", "boot/first-user-instruction"):
                if "=" in "".join(parts[1:]):
                    records["value", parts[0]] = {"workload": parts[0], "op": "value", **fields(parts[1:])}
            elif kind == "version":
                records["meta", ""]["version"] = re.sub(r" \(\S+@\S+\)", "", "|".join(parts))     # builder's address
    for record in records.values():
        print(json.dumps(record))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernel", default="?")
    parser.add_argument("--config", default="?")
    parser.add_argument("logs", nargs="+")
    collect(parser.parse_args())


if __name__ == "__main__":
    main()
