# SPDX-License-Identifier: BSD-3-Clause
"""How a run of several tests closes: who sees only the tail of a log knows what failed, and why."""
REASON_CHARS_MAX = 300
ATTEMPTS_EXCUSED_MAX = 2  # of a whole run


class Broken(AssertionError):
    """A promise was broken: something acknowledged is lost, two answered, memory was misused. A second attempt that goes
    well says nothing of it."""


def reason_of(error):
    """Of an exception, in words."""
    return str(error) or type(error).__name__


def failures(results):
    """One line each. results: (name, reason or None: it passed)."""
    for name, reason in results:
        if reason is not None:
            words = " ".join(reason.split())
            yield f"failed: {name}: {words[:REASON_CHARS_MAX]}{'...' if len(words) > REASON_CHARS_MAX else ''}"


def summary(results, what, excused=()):
    """The last lines of a run of tests, `what` in the plural. excused: (name, reason) of first attempts."""
    passed = sum(reason is None for _, reason in results)
    again = f", {len(excused)} at the second attempt" if excused else ""
    return [f"{passed} of {len(results)} {what} passed{again}",
            *(line.replace("failed: ", "second attempt: ", 1) for line in failures(excused)), *failures(results)]
