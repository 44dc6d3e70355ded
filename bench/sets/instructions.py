"""`bench/run check` and `bench/run record`: instructions of the packet path against those on record.

callgrind executes bench_guard (bench/guard) and counts what each object executes: ipsec-mb apart, as
the CPU that valgrind shows it has no AVX-512, and everything else, which is the path. Two runs differ
by nothing, however busy the machine is; other compilers and libraries make other instructions, so
what is on record says under which it was counted, and nothing is compared under others.
"""
import glob
import json
import os
import platform
import re
import shutil
import subprocess
import tempfile

from sets import records

RECORD = os.path.join(records.FOLDER, "path-instructions.json")
GUARD = "bench/guard/bench_guard"
TOLERANCE = 0.005  # of a case: some three instructions a packet, as little as a loop over the vector adds
CIPHER = "libIPSec_MB"
CHANGES = "/changes"  # ends the name of a case whose other half is named alike without it
# C library's functions for the oldest CPU: those for the newest differ between machines.
PLAIN_LIBC = "glibc.cpu.hwcaps=-AVX2,-AVX2_Usable,-ERMS,-FSRM,-AVX512F,-AVX512VL,-AVX512BW"


def toolchain(build):
    """What decides which instructions there are, of a build directory."""
    def known_to_meson(what):
        with open(os.path.join(build, "meson-info", f"intro-{what}.json")) as file:
            return json.load(file)

    def output_of(*command):
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()

    target = next(one for one in known_to_meson("targets") if one["name"] == os.path.basename(GUARD))
    compiler = target["target_sources"][0]["compiler"]
    options = {one["name"]: one["value"] for one in known_to_meson("buildoptions")}
    return {
        "compiler": output_of(*compiler, "--version").partition("\n")[0],
        "options": {name: options[name] for name in
                    ("buildtype", "optimization", "march", "b_lto", "b_sanitize", "cpp_args")},
        "libc": " ".join(platform.libc_ver()),
        "dpdk": output_of("pkg-config", "--modversion", "libdpdk"),
        "valgrind": output_of("valgrind", "--version"),
    }


def costs_of(path):
    """The name of the case in one of callgrind's files, and its instructions by object."""
    case, where, costs, inclusive = None, "", {}, False
    with open(path) as file:
        for line in file:
            if line.startswith("desc: Trigger: Client Request: "):
                case = line.split(": ", 3)[3].strip()
            elif line.startswith("ob="):
                where = os.path.basename(line[3:].strip())
            elif line.startswith("calls="):
                inclusive = True  # the next line counts what is called, which has lines of its own
            elif re.match(r"[+\-*0-9]", line):
                if not inclusive:
                    costs[where] = costs.get(where, 0) + int(line.split()[1])
                inclusive = False
    return case, costs


def count(build):
    """Instructions a packet of each case: {case: {"path": ..., "cipher": ...}}."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--collect-atstart=no",
             "--compress-strings=no", f"--callgrind-out-file={folder}/out",
             os.path.join(build, GUARD)],
            capture_output=True, text=True,
            env=os.environ | {"PENSTOCK_BENCH_NO_HUGE": "1", "GLIBC_TUNABLES": PLAIN_LIBC})
        packets = re.search(r"^(\d+) packets a case$", done.stdout, re.MULTILINE)
        if done.returncode != 0 or packets is None:
            raise RuntimeError("counting failed: " + done.stderr[-1500:])
        cases = {}
        for path in glob.glob(f"{folder}/out.*"):
            case, costs = costs_of(path)
            if case is None or not costs:
                continue
            cipher = sum(cost for name, cost in costs.items() if name.startswith(CIPHER))
            cases[case] = {
                "path": round((sum(costs.values()) - cipher) / int(packets[1]), 1),
                "cipher": round(cipher / int(packets[1]), 1),
            }
    if not cases:
        raise RuntimeError("callgrind counted nothing")
    return dict(sorted(cases.items()))


def why_not(build):
    """Why nothing can be counted here; None if it can."""
    if shutil.which("valgrind") is None:
        return "valgrind is not installed"
    if not os.path.exists(os.path.join(build, GUARD)):
        return f"{GUARD} was not built: valgrind's header was not there"
    return None


def record(build, say):
    reason = why_not(build)
    if reason is not None:
        raise RuntimeError(reason)

    say("bench: counting")
    written = {
        "what": "instructions a packet, counted by callgrind: see bench/README.md",
        "date": records.today(),
        "machine": records.machine(),
        "commit": records.commit("dataplane", "gateway/base"),
        "tolerance": TOLERANCE,
        "toolchain": toolchain(build),
        "cases": count(build),
    }
    os.makedirs(os.path.dirname(RECORD), exist_ok=True)
    with open(RECORD, "w") as file:
        json.dump(written, file, indent=1)
        file.write("\n")
    for case, figures in written["cases"].items():
        print(f"{case:<40} path {figures['path']:>8.1f}   cipher {figures['cipher']:>9.1f}")
    print(f"\nWritten to {os.path.relpath(RECORD)}.")


def compare_changes(cases, tolerance):
    """Whether a worker executes more while tunnels come, are rekeyed and go: (name, text, fine)."""
    for case, figures in cases.items():
        if not case.endswith(CHANGES):
            continue
        without = cases[case.removesuffix(CHANGES)]["path"]
        change = figures["path"] / without - 1
        yield (f"no more instructions while tunnels change, {case.removesuffix(CHANGES)}",
               f"{figures['path']:.1f} a packet, {without:.1f} without ({change:+.1%})",
               change <= tolerance)


def check(build):
    """Prints `ok NAME` or `not ok NAME` for each case; false if one has grown beyond the tolerance.

    Where what is on record does not apply it says so, and nothing else.
    """
    with open(RECORD) as file:
        known = json.load(file)
    reason = why_not(build)
    if reason is None:
        here = toolchain(build)
        differing = [name for name in here if here[name] != known["toolchain"].get(name)]
        if differing:
            reason = "another " + ", ".join(
                f"{name} ({here[name]}, on record {known['toolchain'].get(name)})"
                for name in differing)
    if reason is not None:
        print(f"skipped: the instructions of the packet path are not compared: {reason}")
        return True
    good = True
    now = count(build)
    fewer = []
    for case, figures in known["cases"].items():
        name = f"instructions of the path, {case}"
        if case not in now:
            print(f"not ok {name}: not counted")
            good = False
            continue
        before, after = figures["path"], now[case]["path"]
        change = after / before - 1
        if change <= known["tolerance"]:
            print(f"ok {name}: {after:.1f} a packet ({change:+.1%})")
            if change < -known["tolerance"]:
                fewer.append(case)
        else:
            print(f"not ok {name}: {after:.1f} a packet, {before:.1f} on record ({change:+.1%}, "
                  f"tolerance {known['tolerance']:.1%})")
            good = False
    for name, text, fine in compare_changes(now, known["tolerance"]):
        print(f"{'ok' if fine else 'not ok'} {name}: {text}")
        good = good and fine
    if fewer:
        print(f"# {len(fewer)} cases need fewer than on record: bench/run record makes that the measure")
    if not good:
        print("# Is it worth it? Then bench/run record, and say so in the commit.")
    return good
