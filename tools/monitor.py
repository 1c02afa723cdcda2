"""QEMU's monitor at a socket (Machine.monitor): the machine protocol QMP, and the human commands inside of it."""

import json
import socket


class MonitorError(Exception):
    """QEMU refused a command, or is gone."""


class Monitor:
    PATIENCE = 60  # seconds for an answer

    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(self.PATIENCE)
        self._socket.connect(path)
        self._file = self._socket.makefile("rwb")
        if "QMP" not in self._read():
            raise MonitorError(f"{path} does not speak QMP")
        self.execute("qmp_capabilities")

    def close(self):
        self._file.close()
        self._socket.close()

    def _read(self):
        line = self._file.readline()
        if not line:
            raise MonitorError("QEMU closed its monitor")
        return json.loads(line)

    def execute(self, command, **arguments):
        self._file.write(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        self._file.flush()
        while True:
            answer = self._read()
            if "error" in answer:
                raise MonitorError(f"{command}: {answer['error'].get('desc', answer['error'])}")
            if "return" in answer:  # anything else is an event
                return answer["return"]

    def human(self, command, cpu=0):
        """What the command prints, seen from one CPU."""
        text = self.execute("human-monitor-command", **{"command-line": command, "cpu-index": cpu})
        return text.replace("\r", "")
