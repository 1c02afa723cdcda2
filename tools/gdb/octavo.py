"""gdb commands that read the living kernel's memory: buddyinfo, slabinfo, vmallocinfo, describe ADDRESS.

They follow the same structures as the kernel's own dumps, but from outside: nothing in the guest runs or changes.
"""

import os
import re

import gdb

MACHINE = os.path.join(os.path.dirname(__file__), "../../arch/x86_64/include/arch/machine.h")
PAGE_SHIFT, GROUP_ORDER, ORDERS = 12, 9, 19
GROUP_HEAD_WRITTEN, GROUP_WRITTEN = 1, 2
VM_MAP, VM_IOREMAP, VM_NO_GUARD, VM_GUARD_BEFORE = 0x04, 0x01, 0x40, 0x1000
VM_ANY_RAM = 3 << 21  # vm_map_ram(): one mapping, or a block of them
VM_GONE = {1 << 29: "to be flushed", 1 << 28: "kept by a CPU", 1 << 19: "in quarantine"}


def machine_constant(name):
    with open(MACHINE, encoding="utf-8") as file:
        return int(re.search(rf"#define {name}\s+(0x[0-9a-f]+)", file.read())[1], 16)


DIRECTMAP, FRAMES, KIMAGE = map(machine_constant, ("DIRECTMAP_BASE", "FRAMES_BASE", "KIMAGE_BASE"))


def value(expression):
    return gdb.parse_and_eval(expression)


def pointer_to(type_name, address):
    return gdb.Value(address).cast(gdb.lookup_type(type_name).pointer())


def entries(head, type_name, member):
    """The structures on a list, by the list_head that they are linked with."""
    offset = next(f.bitpos // 8 for f in gdb.lookup_type(type_name).fields() if f.name == member)
    node = head["next"]
    while node != head.address:
        yield pointer_to(type_name, int(node) - offset).dereference()
        node = node["next"]


def code_name(low_half):
    """Callers are kept as the low half of their address: all code lies in the top 2 GiB."""
    address = 0xFFFFFFFF00000000 | int(low_half)
    text = gdb.execute(f"info symbol {address:#x}", to_string=True)
    return re.sub(r" in section .*\n", "", text).replace(" + ", "+") if " in section " in text else f"{address:#x}"


def frame_entry(pfn):
    return pointer_to("struct page", FRAMES + 16 * pfn)


def page_type_name(page):
    names = {f.enumval: f.name[len("PAGE_") :].lower() for f in gdb.lookup_type("enum page_type").fields()}
    return names.get(int(page["type"]), "corrupt")


def entry_written(pfn):
    """P2 of <mm/page.h>: RAM holds garbage where no entry was written."""
    state = int(value("page_array")["written"][pfn >> GROUP_ORDER])
    return state == GROUP_WRITTEN or (state == GROUP_HEAD_WRITTEN and pfn % (1 << GROUP_ORDER) == 0)


def find_block(pfn):
    """(first frame, its entry) of the block that holds a frame, or None: top-down over written entries."""
    if pfn >= int(value("page_array")["end"]):
        return None
    for order in range(ORDERS - 1, -1, -1):
        head = pfn >> order << order
        if not entry_written(head):
            return None
        page = frame_entry(head)
        if int(page["order"]) == order and page_type_name(page) != "none":
            return head, page
    return None


def busy_areas():
    """vmalloc areas by address, and ranges that were given back and are no hole yet."""
    stack, node = [], value("vmalloc_state")["space"]["busy"]["node"]
    while stack or node:
        while node:
            stack.append(node)
            node = node["left"]
        node = stack.pop()
        yield pointer_to("struct vmap_area", int(node)).dereference()
        node = node["right"]


def area_line(area):
    start, end, flags = int(area["va_start"]), int(area["va_end"]), int(area["flags"])
    line = f"{start:#018x}-{end:#018x} {end - start:7} {code_name(area['caller'])}"
    for flag, what in VM_GONE.items():
        if flags & flag:
            return f"{line} freed, {what}"
    kind = "ioremap" if flags & VM_IOREMAP else "vmap" if flags & VM_MAP else \
        "vm_map_ram" if flags & VM_ANY_RAM else "vmalloc"
    guards = (0 if flags & VM_NO_GUARD else 1) + (1 if flags & VM_GUARD_BEFORE else 0)
    pages = (end - start >> PAGE_SHIFT) - guards
    return f"{line} pages={pages} {kind}"


class Command(gdb.Command):
    """A gdb command named after its class."""

    def __init__(self):
        super().__init__(type(self).__name__, gdb.COMMAND_DATA)


class buddyinfo(Command):
    """Free blocks of each zone, per order."""

    def invoke(self, argument, from_tty):
        zones = value("zones")
        for index in range(zones.type.range()[1] + 1):
            zone = zones[index]
            counts = " ".join(f"{int(zone['buddy']['free'][order]['count']):6}" for order in range(ORDERS))
            print(f"Node 0, zone {zone['name'].string():>8} {counts}")


def cached_objects(cache):
    """Free objects in the magazines of the CPUs and of the depot: handed out as far as the slabs know."""
    if not int(cache["magazine_size"]):
        return 0
    pair = gdb.lookup_type("struct cpu_pair").sizeof
    owns = [cache["cpu"][cpu] for cpu in range(int(value("possible")))]
    used = sum(int(own["loaded"]["used"]) + int(own["previous"]["used"]) for own in owns)
    return (used + int(cache["depot"]["nr_full"]) * int(cache["magazine_size"])) // pair


class slabinfo(Command):
    """Object caches: objects in use, objects in all slabs, sizes."""

    def invoke(self, argument, from_tty):
        print("# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : <slabs> <empty>")
        for cache in entries(value("caches"), "struct kmem_cache", "link"):
            per_slab = int(cache["preferred"]["slots"]) - int(cache["first_slot"])
            print(
                f"{cache['name'].string():18} {int(cache['nr_active']) - cached_objects(cache):6} {int(cache['nr_objects']):6} {int(cache['object_size']):6}"
                f" {per_slab:4} {1 << int(cache['preferred']['order']):4} : {int(cache['nr_slabs']):6} {int(cache['nr_empty']):6}"
            )


class vmallocinfo(Command):
    """vmalloc areas: range, size with the guard page, who asked, pages, kind; and what was freed and is not yet a hole."""

    def invoke(self, argument, from_tty):
        for area in busy_areas():
            print(area_line(area))


class describe(Command):
    """describe ADDRESS: what lies there (any expression)."""

    def invoke(self, argument, from_tty):
        if not argument:
            raise gdb.GdbError("describe ADDRESS")
        target = value(argument)
        if target.type.code in (gdb.TYPE_CODE_FUNC, gdb.TYPE_CODE_ARRAY):
            target = target.address
        print(self.text(int(target) & (1 << 64) - 1))

    def text(self, address):
        if address >= KIMAGE:
            return "kernel image: " + gdb.execute(f"info symbol {address:#x}", to_string=True).strip()
        if DIRECTMAP <= address < FRAMES:
            return self.in_direct_map(address - DIRECTMAP)
        for area in busy_areas():
            if int(area["va_start"]) <= address < int(area["va_end"]):
                return f"{address - int(area['va_start']):#x} bytes into vmalloc area {area_line(area)}"
        return "in no area that Octavo knows"

    def in_direct_map(self, physical):
        pfn = physical >> PAGE_SHIFT
        found = find_block(pfn)
        if not found:
            return f"direct map, frame {pfn:#x}: reserved or no RAM"
        head, page = found
        kind = page_type_name(page)
        words = f"direct map, frame {pfn:#x} in a {kind} block of order {int(page['order'])} at frame {head:#x}"
        if kind == "slab":
            slab = page["owner"].cast(gdb.lookup_type("struct slab").pointer())
            slot, past = divmod(DIRECTMAP + physical - int(slab["base"]), int(slab["slot_size"]))
            return f"{words}: slot {slot} of cache {slab['cache']['name'].string()}, {past} bytes past its start"
        return words if kind == "free" else f"{words} from {code_name(page['caller'])}"


for command in (buddyinfo, slabinfo, vmallocinfo, describe):
    command()
