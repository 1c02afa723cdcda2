"""A strict reader of KTAP version 1 (the Linux kernel's Documentation/dev-tools/ktap.rst), fed line by line.

Strict means that silence is no success: a plan must be there, come first and be met at every level, numbers must count
up from 1, and a parent must not claim `ok` over a failed subtest. Lines that are not KTAP are the kernel talking; those
since the last result are kept, to be shown with a failure.
"""

import re
from dataclasses import dataclass, field
from typing import List, Optional

LINE = re.compile(
    r"(?P<indent> *)(?:KTAP version (?P<version>\d+)"
    r"|1\.\.(?P<plan>\d+)"
    r"|(?P<verdict>ok|not ok) (?P<number>\d+)(?: (?:- )?(?P<name>[^#]*?))?(?: ?# ?(?P<directive>[A-Z]+)(?P<reason>.*)?)?)"
)
TALK_KEPT = 60


@dataclass
class Level:
    indent: int
    plan: Optional[int] = None
    seen: int = 0
    failed: int = 0


@dataclass
class KtapReader:
    passed: int = 0
    failed: int = 0
    skipped: List[str] = field(default_factory=list)
    problems: List[str] = field(default_factory=list)  # failed cases and broken KTAP, in words
    names: List[str] = field(default_factory=list)     # of the results of the outermost level
    last: str = ""                                     # the last result's name
    levels: List[Level] = field(default_factory=list)
    talk: List[str] = field(default_factory=list)
    closed: Optional[Level] = None                     # the level that the next result sums up
    started: bool = False

    def feed(self, line):
        match = LINE.fullmatch(line)
        if not match:
            if self.levels:
                self.talk = self.talk[-TALK_KEPT:] + [line.strip()]
            return
        indent = len(match["indent"])
        if match["version"]:
            self._open(indent, match["version"])
        elif not self.levels:
            self._broken(f"`{line.strip()}` comes before `KTAP version 1`")
        elif match["plan"]:
            self._plan(indent, int(match["plan"]))
        else:
            self._result(indent, match)

    def end(self):
        """To be called when the output has ended: judges what is missing."""
        if not self.started:
            self._broken("no KTAP output at all")
        while self.levels:
            self._close()
        if self.started and not self.passed + self.failed + len(self.skipped):
            self._broken("not one test ran")

    def _broken(self, text):
        self.problems.append("KTAP: " + text)
        self.failed += 1

    def _open(self, indent, version):
        if version != "1":
            self._broken(f"version {version}, expected 1")
        if self.levels and indent <= self.levels[-1].indent:
            self._broken(f"a second `KTAP version` at indentation {indent}")
        self.started = True
        self.levels.append(Level(indent))

    def _plan(self, indent, plan):
        level = self.levels[-1]
        if indent != level.indent:
            self._broken(f"plan 1..{plan} at indentation {indent}, expected {level.indent}")
        elif level.plan is not None or level.seen:
            self._broken(f"plan 1..{plan} is late or the second one")
        else:
            level.plan = plan

    def _close(self):
        level = self.levels.pop()
        if level.plan is None:
            self._broken(f"no plan; the last result was `{self.last}`")
        elif level.seen != level.plan:
            self._broken(f"truncated plan: {level.seen} of {level.plan} results, the last one `{self.last}`")
        self.closed = level

    def _result(self, indent, match):
        while len(self.levels) > 1 and indent < self.levels[-1].indent:
            self._close()
        level = self.levels[-1]
        name, number, ok = match["name"] or "", int(match["number"]), match["verdict"] == "ok"
        if indent != level.indent:
            self._broken(f"result `{name}` at indentation {indent}, expected {level.indent}")
        if number != level.seen + 1:
            self._broken(f"result `{name}` has number {number}, expected {level.seen + 1}")
        level.seen += 1
        self.last = name
        if len(self.levels) == 1:
            self.names.append(name)

        children, self.closed = self.closed, None
        if children and ok and children.failed:
            self._broken(f"`{name}` claims ok, but {children.failed} of its subtests failed")
        if not ok:
            level.failed += 1
        if children and (ok or children.failed):
            pass  # its subtests were counted
        elif match["directive"] == "SKIP":
            self.skipped.append(name + (match["reason"] or ""))
        elif ok:
            self.passed += 1
        else:
            self.failed += 1
            self.problems.append("\n    ".join([f"failed test: {name}"] + self.talk))
        self.talk = []
