#!/usr/bin/python3
# SPDX-License-Identifier: BSD-3-Clause
"""Holds what a compiler does not: the include arrows, purity, and the plain rules of style.

    check.py ROOT         prints each violation as file:line: what; exit 1 if there was one
    check.py --self-test  plants one violation of each rule in a tree of its own and sees it caught

Each rule is a function that takes a Source and yields (line, what); RULES lists them. Text is read with
comments blanked (and, where a rule asks, strings too), never parsed: the trees are formatted by clang-format,
so that a function's braces stand in the first column. See README.md for the reasons of the rules.
"""

import pathlib
import re
import sys
import tempfile

TOP_FOLDERS = ("dataplane", "control", "nic-config", "perf", "tests")
C_SUFFIXES = (".c", ".h", ".cc")
SOURCE_SUFFIXES = C_SUFFIXES + (".py", ".sh")
TEXT_SUFFIXES = SOURCE_SUFFIXES + (".md", ".build")
FILE_LINES_MAX = 800
FUNCTION_LINES_MAX = 100

# How a configuration is read as text, without knowing what any key means
CONFIG_TEXT = tuple(f"engine/config/{name}.h" for name in ("address", "mistakes", "quantity", "yaml_lines"))
# folder -> what of ours it may include beside itself: a folder, or one header of a folder
ARROWS = {
    "dataplane/base": (),
    "dataplane/wire": ("base",),
    "dataplane/transport": ("base", "wire"),
    "dataplane/journal": ("base", "wire"),
    "dataplane/replication": ("base", "wire", "journal"),
    "dataplane/io": ("base", "wire", "transport/session.h", "transport/authenticator.h"),
    "dataplane/frontend": ("base", "wire/record.h", "io/uring.h"),
    "dataplane/engine": ("base", "wire", "transport", "journal", "replication", "io", "frontend"),
    "control": ("base", "wire", "engine/config/node_config.h"),
    "nic-config": ("base", "engine/config/node_config.h", "engine/config/prepared.h", "io/users.h") + CONFIG_TEXT,
}
OURS = tuple(folder.removeprefix("dataplane/") for folder in ARROWS)
THIRD_PARTY = (  # header, the folders that may name it
    (re.compile(r"rte_"), ("dataplane/io", "dataplane/frontend", "dataplane/engine")),
    (re.compile(r"liburing"), ("dataplane/io",)),
    (re.compile(r"openssl/"), ("dataplane/io", "control")),
)
PURE = ("dataplane/wire", "dataplane/transport", "dataplane/journal", "dataplane/replication")
IMPURE_HEADER = re.compile(r"(time|unistd|fcntl|pthread|threads|poll|signal)\.h$|sys/|linux/")
IMPURE_CALL = re.compile(
    r"(?<![\w.>])(malloc|calloc|realloc|free|aligned_alloc|posix_memalign|mmap|clock_gettime|gettimeofday|"
    r"getrandom|rand|random)\s*\(")
UNSAFE_CALL = re.compile(r"\b(strcpy|strncpy|stpcpy|strcat|strncat|sprintf|vsprintf|gets)\s*\(")
UNFINISHED = re.compile(r"\b(TO" r"DO|FIX" r"ME|X" r"XX)\b")
INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')
TOKEN = re.compile(r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.DOTALL)


def blank(text, also_strings):
    """Comments become spaces; the lines stay where they are."""
    def replacement(match):
        token = match.group()
        if token[0] in "\"'" and not also_strings:
            return token
        return re.sub(r"[^\n]", " ", token)
    return TOKEN.sub(replacement, text)


class Source:
    def __init__(self, root, path):
        self.name = path.relative_to(root).as_posix()
        self.suffix = path.suffix
        self.text = path.read_text(encoding="utf-8", errors="replace")
        self.lines = self.text.split("\n")
        if self.lines[-1] == "":
            self.lines.pop()
        self.is_c = self.suffix in C_SUFFIXES
        self.is_source = self.suffix in SOURCE_SUFFIXES
        self.folder = next((f for f in ARROWS if self.name.startswith(f + "/")), None)

    def includes(self):
        """(line, "" if in angle brackets, name) of each #include outside comments."""
        if not self.is_c:
            return
        for number, line in enumerate(blank(self.text, also_strings=False).split("\n"), 1):
            match = INCLUDE.match(line)
            if match:
                yield number, match.group(1), match.group(2)

    def code_lines(self):
        return enumerate(blank(self.text, also_strings=True).split("\n"), 1)


def owner_of(header):
    """Which of our folders a header is named of; None for one of the same folder or of a library."""
    return next((folder for folder in OURS if header.startswith(folder + "/")), None)


def check_arrows(source):
    if source.folder is None:
        return
    own = source.folder.removeprefix("dataplane/")
    allowed = ARROWS[source.folder]
    for line, quote, header in source.includes():
        owner = owner_of(header.removeprefix("dataplane/"))
        if quote == '"' and ".." in header.split("/"):
            yield line, f'"{header}" climbs out of its folder; name it from the root of the includes'
        elif owner and owner != own and owner not in allowed and header not in allowed:
            yield line, f'{source.folder}/ may not include "{header}"'


def check_third_party(source):
    if source.name.startswith("tests/") or source.name.startswith("perf/"):
        return
    for line, _, header in source.includes():
        for pattern, folders in THIRD_PARTY:
            if pattern.match(header) and source.folder not in folders:
                yield line, f"<{header}> belongs in {', '.join(folders)}"


def check_pure(source):
    if source.folder not in PURE:
        return
    for line, _, header in source.includes():
        if IMPURE_HEADER.match(header):
            yield line, f"<{header}> in a pure part: no clock, no I/O, no threads"
    if source.is_c:
        for line, text in source.code_lines():
            for match in IMPURE_CALL.finditer(text):
                yield line, f"{match.group(1)}() in a pure part: no clock, no allocation, no randomness"


def check_licence(source):
    if not source.is_source:
        return
    at = 1 if source.lines and source.lines[0].startswith("#!") else 0
    if "SPDX-License-Identifier: BSD-3-Clause" not in "".join(source.lines[at:at + 1]):
        yield 1, "the first line does not name the licence (SPDX-License-Identifier: BSD-3-Clause)"


def check_file_length(source):
    if source.is_source and len(source.lines) > FILE_LINES_MAX:
        yield FILE_LINES_MAX + 1, f"{len(source.lines)} lines; a file has at most {FILE_LINES_MAX}"


def check_function_length(source):
    if not source.is_c:
        return
    begin = None
    for number, line in enumerate(source.lines, 1):
        if line == "{":
            begin = number
        elif line.startswith("}") and begin is not None:
            if number - begin > FUNCTION_LINES_MAX:
                yield begin, f"a function of {number - begin} lines; it has at most {FUNCTION_LINES_MAX}"
            begin = None


def check_unsafe_calls(source):
    if source.is_c:
        for line, text in source.code_lines():
            for match in UNSAFE_CALL.finditer(text):
                yield line, f"{match.group(1)}() knows no bounds; use snprintf or memcpy"


def check_unfinished(source):
    for number, line in enumerate(source.lines, 1):
        if UNFINISHED.search(line):
            yield number, "a mark of unfinished work; finish it, or say in words what is not there"


def check_tabs(source):
    if source.is_c:
        for number, line in enumerate(source.lines, 1):
            if "\t" in line:
                yield number, "a tab; indent by four spaces"


RULES = (check_arrows, check_third_party, check_pure, check_licence, check_file_length, check_function_length,
         check_unsafe_calls, check_unfinished, check_tabs)


def sources(root):
    for top in TOP_FOLDERS:
        for path in sorted((root / top).rglob("*")):
            if path.is_file() and path.suffix in TEXT_SUFFIXES:
                yield Source(root, path)


def violations(root):
    for source in sources(root):
        for rule in RULES:
            for line, what in rule(source):
                yield rule, f"{source.name}:{line}: {what}"


# ---- the test of the test ----

SPDX = "/* SPDX-License-Identifier: BSD-3-Clause */\n"
PLANTED = (  # rule, file, text without the licence line, line at which it must be caught
    (check_arrows, "dataplane/base/a.c", '#include "wire/record.h"\n', 2),
    (check_arrows, "dataplane/wire/a.c", '#include "journal/journal.h"\n', 2),
    (check_arrows, "dataplane/journal/a.c", '#include "base/pool.h"\n#include "transport/session.h"\n', 3),
    (check_arrows, "dataplane/io/a.c", '#include "transport/keys.h"\n', 2),
    (check_arrows, "dataplane/frontend/a.h", '# include "io/disk.h"\n', 2),
    (check_arrows, "control/a.c", '#include "replication/group.h"\n', 2),
    (check_arrows, "control/b.c", '#include "dataplane/engine/engine.h"\n', 2),
    (check_arrows, "nic-config/sub/a.c", "#include <io/port.h>\n", 2),
    (check_arrows, "nic-config/b.c", '#include "engine/config/mistakes.h"\n#include "engine/config/raw_config.h"\n', 3),
    (check_arrows, "dataplane/wire/b.c", '#include "../journal/journal.h"\n', 2),
    (check_third_party, "dataplane/transport/b.c", "#include <rte_mbuf.h>\n", 2),
    (check_third_party, "dataplane/engine/b.c", "#include <liburing.h>\n", 2),
    (check_third_party, "dataplane/transport/e.c", "#include <openssl/ssl.h>\n", 2),
    (check_third_party, "control/c.c", "#include <rte_eal.h>\n", 2),
    (check_pure, "dataplane/replication/c.c", "#include <time.h>\n", 2),
    (check_pure, "dataplane/journal/c.c", "#include <sys/uio.h>\n", 2),
    (check_pure, "dataplane/transport/c.c", "void *p(void)\n{\n    return malloc(8);\n}\n", 4),
    (check_licence, "dataplane/base/d.c", None, 1),
    (check_file_length, "control/long.c", "int x;\n" * 800, 801),
    (check_function_length, "control/function.c", "int f(void)\n{\n" + "    ;\n" * 100 + "}\n", 3),
    (check_unsafe_calls, "perf/e.c", 'void f(char *s)\n{\n    /* x */ strcpy (s, "x");\n}\n', 4),
    (check_unsafe_calls, "tests/unit/f.cc", "void f(char *s)\n{\n    std::sprintf(s, 0);\n}\n", 4),
    (check_unfinished, "control/g.c", "/* TO" "DO: all of it */\n", 2),
    (check_tabs, "control/h.c", "int f(void)\n{\n\treturn 0;\n}\n", 4),
)
CLEAN = (  # what looks like a violation and is none
    ("dataplane/engine/ok.c", '#include "io/disk.h"\n#include "replication/group.h"\n#include <rte_eal.h>\n'),
    ("dataplane/io/ok.c", '#include "transport/session.h"\n#include <liburing.h>\n#include <time.h>\n'),
    ("dataplane/wire/ok.c", '/*\n#include "journal/journal.h"\n*/\n#include "wire/record.h"\n'),
    ("dataplane/journal/ok.c", "void f(void)\n{\n    pool->free(x);\n    is_free(x); /* free(x) */\n}\n"),
    ("control/ok.c", 'const char *s = "strcpy(a, b)"; // gets(s)\nint i = snprintf(0, 0, "x");\n'),
    ("control/limits.c", "int x;\n" * 799),
    ("control/limit.c", "int f(void)\n{\n" + "    ;\n" * 99 + "}\n"),
)


def plant(root, name, text):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("int x;\n" if text is None else SPDX + text)


def caught(name, text):
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        plant(root, name, text)
        return [(rule, message) for rule, message in violations(root)]


def self_test():
    failures = []
    for rule, name, text, line in PLANTED:
        found = caught(name, text)
        if [r for r, _ in found] != [rule] or not found[0][1].startswith(f"{name}:{line}: "):
            failures.append(f"{name}: {rule.__name__} should catch line {line}, got {[m for _, m in found]}")
    for name, text in CLEAN:
        failures += [f"{name}: clean, but {message}" for _, message in caught(name, text)]
    for rule in RULES:
        if rule not in [planted[0] for planted in PLANTED]:
            failures.append(f"{rule.__name__}: no violation of it is planted")
    for failure in failures:
        print(failure)
    print(f"{len(PLANTED)} planted violations, {len(CLEAN)} clean files, {len(failures)} failures")
    return 1 if failures else 0


def main():
    if sys.argv[1:] == ["--self-test"]:
        return self_test()
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    root = pathlib.Path(sys.argv[1]).resolve()
    if not (root / "dataplane").is_dir():
        print(f"{root}: no dataplane/ here: nothing was checked")
        return 2
    found = [message for _, message in violations(root)]
    for message in found:
        print(message)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
