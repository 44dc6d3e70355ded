"""The figures on record: bench/records, a file a set, with the machine, the date and the commit."""
import contextlib
import datetime
import io
import os
import platform
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FOLDER = os.path.join(TOP, "bench", "records")


def machine():
    with open("/proc/cpuinfo") as file:
        return next((line.split(":", 1)[1].strip() for line in file
                     if line.startswith("model name")), platform.machine())


def commit(*of_paths):
    """The last commit, and whether what lies under these paths, records apart, differs from it."""
    def git(*arguments):
        return subprocess.run(["git", "-C", TOP, *arguments], capture_output=True,
                              text=True).stdout.strip()
    return (git("rev-parse", "--short", "HEAD") +
            (" and changes" if git("status", "--porcelain", *of_paths, ":!bench/records") else ""))


def today():
    return datetime.date.today().isoformat()


class _Both(io.TextIOBase):
    """Writes to the terminal, and keeps what is written."""

    def __init__(self, terminal):
        self.terminal, self.kept = terminal, io.StringIO()

    def write(self, text):
        self.kept.write(text)
        return self.terminal.write(text)


@contextlib.contextmanager
def keeping(name, wanted, repetitions):
    """What is printed inside becomes the record of the set `name`, if it is wanted and comes to its
    end."""
    if not wanted:
        yield
        return
    both = _Both(sys.stdout)
    with contextlib.redirect_stdout(both):
        yield
    if not both.kept.getvalue():
        return
    os.makedirs(FOLDER, exist_ok=True)
    load, cpus = os.getloadavg()[1], len(os.sched_getaffinity(0))
    with open(os.path.join(FOLDER, f"{name}.txt"), "w") as file:
        file.write(f"bench/run {name}: {today()}, commit {commit('bench', 'dataplane', 'controlplane')}"
                   f"\n{machine()}, {cpus} CPUs, Linux {'.'.join(platform.release().split('.')[:2])}, load {load:.1f}, "
                   f"{repetitions} repetitions\n\n{both.kept.getvalue()}")
