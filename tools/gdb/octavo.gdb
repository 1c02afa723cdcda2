# `make gdb`: attach to the machine that `make debug` has stopped.
set pagination off
set disassembly-flavor intel
set print pretty on
target remote :1234
source tools/gdb/octavo.py
echo \n
echo Octavo is not loaded yet: break with `hbreak FUNCTION`, then `continue`.\n
echo Its own commands, once memory is up: buddyinfo slabinfo vmallocinfo describe ADDRESS.\n
