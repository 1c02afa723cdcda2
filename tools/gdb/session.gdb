# What tools/gdb_session.py has gdb do. The kernel is not loaded yet, so the breakpoint must be one of the processor's.
set confirm off
set width 0
hbreak __vmalloc_node_range
continue
echo == backtrace\n
backtrace
echo == arguments\n
info args
next 4
echo == locals\n
info locals
echo == end\n
source tools/gdb/octavo.py
buddyinfo
slabinfo
vmallocinfo
describe __vmalloc_node_range
describe kmalloc_caches[3]
# What was freed by the first test that frees anything is still there when its flush begins.
delete
hbreak pagetable_sweep
continue
echo == freed\n
vmallocinfo
# QEMU's end breaks the pipe, which gdb would call an error.
python
try:
    gdb.execute("kill")
except gdb.error:
    pass
end
