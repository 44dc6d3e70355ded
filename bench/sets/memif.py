"""The set `memif`: penstockd with one polling worker on one CPU, penstock-load on another, shared
memory between them. Nothing else of a machine is in the way; both copy every packet twice."""
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

# Name, options of penstock-load, cases of the set path that are the gateway's work beyond ports and
# plain forwarding (None: that is all there is).
CASES = [
    ("clear", ["--protocol", "clear"], None),
    ("wireguard/chacha20poly1305", ["--protocol", "wireguard"], "wireguard/{}/1420/peers:1"),
    ("esp/aes128gcm", ["--protocol", "esp", "--esp-cipher", "aes128gcm16"],
     "esp/{}/aes128gcm/1420/sas:1"),
]
DIRECTIONS = ("up", "down", "both")
# What the gateway does with a packet of a direction, as the cases of the set path say it.
ENDS = {"up": ["in"], "down": ["out"], "both": ["in", "out"]}
SIZE = "1420"
LOSS_PERCENT = "0.1"
WHOLE_CPU = 0.97  # share of a CPU from which on the gateway's worker had it to itself


class Failed(RuntimeError):
    pass


def text_of(path):
    with open(path, errors="replace") as file:
        return file.read()


class Gateway:
    """penstockd as penstock-load configures it, until the end of the `with`."""

    def __init__(self, build, folder, options):
        self.build, self.folder, self.options = build, folder, options
        self.log = os.path.join(folder, "gateway.log")

    def __enter__(self):
        subprocess.run([os.path.join(self.build, "bench/load/penstock-load"),
                        "--write-gateway-config", self.folder, *self.options],
                       check=True, stdout=subprocess.DEVNULL)
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                [os.path.join(self.build, "gateway/app/penstockd"), "--config",
                 os.path.join(self.folder, "penstock.conf")], stdout=log, stderr=log)
        status = [os.path.join(self.build, "gateway/cli/penstock"), "--socket",
                  os.path.join(self.folder, "control.sock"), "status"]
        for _ in range(150):
            if subprocess.run(status, capture_output=True).returncode == 0:
                return self
            if self.process.poll() is not None:
                raise Failed("penstockd does not start:\n" + text_of(self.log)[-1000:])
            time.sleep(0.1)
        self.__exit__()
        raise Failed("penstockd does not answer:\n" + text_of(self.log)[-1000:])

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def cpu_seconds(self):
        """Of all its threads so far; its worker polls, so a CPU of its own is one a second."""
        with open(f"/proc/{self.process.pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def load_connections(self):
        vici = "unix://" + os.path.join(self.folder, "vici.sock")
        done = subprocess.run(
            ["swanctl", "--load-all", "--file", os.path.join(self.folder, "swanctl.conf"), "--uri",
             vici], capture_output=True, text=True, env=dict(os.environ, SWANCTL_DIR=self.folder))
        if done.returncode != 0:
            raise Failed("swanctl: " + done.stderr[-500:])


def search(build, folder, options, direction, seconds):
    """The rates that one search finds: [(tolerated loss, packets a second and direction)]."""
    out = os.path.join(folder, "load.json")
    done = subprocess.run(
        [os.path.join(build, "bench/load/penstock-load"), "search", *options, "--direction",
         direction, "--size", SIZE, "--trial", str(seconds), "--loss", LOSS_PERCENT, "--precision",
         "3", "--trials", "14", "--drain", "0.1", "--latency-at", "50", "--json", out],
        capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed("penstock-load: " + done.stderr[-1000:])
    with open(out) as file:
        return json.load(file)["cases"][0]


def one_run(build, extra, direction, seconds):
    """With a gateway of its own: one whose worker is put aside in the middle of a poll does not
    always survive that its memif peer goes."""
    folder = tempfile.mkdtemp(prefix="penstock-memif-")
    options = ["--outside", f"memif:{folder}/out.sock", "--inside", f"memif:{folder}/in.sock", *extra]
    try:
        with Gateway(build, folder, options) as gateway:
            if "esp" in extra:
                gateway.load_connections()
            cpu, wall = gateway.cpu_seconds(), time.monotonic()
            case = search(build, folder, options, direction, seconds)
            # It may be gone by now, as said above.
            if gateway.process.poll() is None:
                case["cpu_share"] = (gateway.cpu_seconds() - cpu) / (time.monotonic() - wall)
            return case
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def wanted_cases(pattern, say):
    """[(name, options, path, direction)] in the order of CASES, clear packets first: a direction that
    is measured through a tunnel is measured in clear as well."""
    chosen = [(*case, way) for case in CASES for way in DIRECTIONS
              if pattern.search(name_of(case[0], way))]
    if any("esp" in case[0] for case in chosen) and shutil.which("swanctl") is None:
        say("bench: swanctl is not installed: leaving ESP out")
        chosen = [case for case in chosen if "esp" not in case[0]]
    ways = {case[3] for case in chosen}
    return [(*CASES[0], way) for way in DIRECTIONS if way in ways] + [
        case for case in chosen if case[0] != CASES[0][0]]


def name_of(name, way):
    return f"memif/{name}/{SIZE}/{way}"


def records(build, repetitions, seconds, pattern, path_seconds, say):
    """One record a case. `pattern`: a compiled expression that the case's name matches;
    `path_seconds`: from an expression to {case of the set path: seconds of a packet}."""
    if len(os.sched_getaffinity(0)) < 2:
        raise Failed("the set memif needs two CPUs")
    cases = wanted_cases(pattern, say)
    paths = {path.format(end) for _, _, path, way in cases if path for end in ENDS[way]}
    runs = {name_of(case[0], case[3]): [] for case in cases}
    # Repetitions are the outer loop, so that a slow minute of the machine is in all that is compared.
    for repetition in range(repetitions):
        path_of = path_seconds(f"^({'|'.join(sorted(paths))})$") if paths else {}
        clear = {}
        for name, extra, path, way in cases:
            case = name_of(name, way)
            say(f"bench: {case}, repetition {repetition + 1}/{repetitions}")
            run = one_run(build, extra, way, seconds)
            if path is None:
                clear[way] = run
            else:
                add_possible(run, way, clear[way],
                             statistics.mean(path_of[path.format(end)] for end in ENDS[way]))
            runs[case].append(run)
    return [record_of(name_of(name, way), way, runs[name_of(name, way)])
            for name, _, _, way in cases]


def add_possible(run, way, clear, path):
    """What the gateway's worker could do if a packet cost it what it costs in overload in clear (the
    run `clear`) and `path` seconds for the tunnel, and how much of that was found."""
    overload = clear["trials"][0]
    run["possible_pps"] = 1 / (1 / overload["received_pps"] + path)
    run["of_possible"] = rate_of(run, way) / run["possible_pps"]
    # The gateway would have taken more in clear, so it has more time for the tunnel than is said.
    run["clear_was_the_generator"] = overload["loss_ratio"] <= float(LOSS_PERCENT) / 100
    # The path is measured undisturbed: beside it only what was measured so can be put.
    run["comparable"] = all(one.get("cpu_share", 0) >= WHOLE_CPU for one in (run, clear))


def rate_of(run, way):
    """Packets a second, both directions together."""
    return run["found"][0]["pps_per_direction"] * (2 if way == "both" else 1)


def record_of(case, way, runs):
    bits = 8 * int(SIZE) / 1e9
    rates = [rate_of(run, way) * bits for run in runs]
    flood = [run["trials"][0]["received_bps"] / 1e9 for run in runs]
    middle = statistics.median(rates)
    latency = [run["latency"][0][name]["latency_ns"]["p99"] / 1e3 for run in runs
               if run.get("latency") for name in ("up", "down") if name in run["latency"][0]]
    shares = [run["cpu_share"] for run in runs if "cpu_share" in run]
    record = {
        "case": case,
        "gbit_per_second": round(middle, 2),
        "loss_percent_at_most": float(LOSS_PERCENT),
        "overload_gbit_per_second": round(statistics.median(flood), 2),
        "generator_was_the_limit": any(run["found"][0]["limited_by_generator"] for run in runs),
        "latency_p99_us_at_half": round(statistics.median(latency), 1) if latency else None,
        "gateway_cpu_share": round(min(shares), 2) if shares else None,
        "repetitions": len(runs),
        "spread": round((max(rates) - min(rates)) / middle, 3) if middle else 0.0,
    }
    if "of_possible" not in runs[0]:
        return record
    fair = [run for run in runs if run["comparable"]]
    in_clear = any(run["clear_was_the_generator"] for run in fair)
    unknown = not fair or (in_clear and record["generator_was_the_limit"])
    return record | {
        "possible_gbit_per_second": round(
            statistics.median(run["possible_pps"] for run in fair) * bits, 2) if fair else None,
        "of_what_is_possible": None if unknown else round(
            statistics.median(run["of_possible"] for run in fair), 3),
        "comparable_repetitions": len(fair),
        "generator_was_the_limit_in_clear": in_clear,
    }


def remark_on(record):
    """What stands behind a line: whose limit was measured, and what that makes of the ratio."""
    said = []
    tunnel = record["generator_was_the_limit"]
    if record.get("generator_was_the_limit_in_clear", False):
        said.append("the generator was the limit, in clear too" if tunnel else
                    "the generator was the limit in clear: at most this ratio")
    elif tunnel:
        said.append("the generator was the limit" + (
            ": at least this ratio" if record.get("of_what_is_possible") is not None else ""))
    share = record["gateway_cpu_share"]
    if share is None:
        said.append("the gateway was gone at the end: its CPU time is not known")
    elif share < WHOLE_CPU:
        said.append(f"the gateway had only {share:.0%} of a CPU: too low")
    return "  " + "; ".join(said) if said else ""


def show(made):
    print(f"Gbit/s of inner packets of {SIZE} B with at most {LOSS_PERCENT} % lost: penstockd with one "
          "worker on one CPU,\nthe generator on another, memif between them. Both: the two directions "
          "together. Overload: what\ncomes through when the generator sends all it can. Clear: plain "
          "forwarding, without a tunnel. Possible:\none packet in the time that it takes in clear in "
          "overload and, without ports, through the tunnel.\n")
    header = (f"{'case':<46}{'Gbit/s':>8}{'overload':>10}{'possible':>10}"
              f"{'of what is possible':>21}{'p99 at half':>13}{'spread':>8}")
    print(header)
    print("-" * len(header))
    for record in made:
        p99 = record["latency_p99_us_at_half"]
        possible = record.get("possible_gbit_per_second")
        ratio = record.get("of_what_is_possible")
        print(f"{record['case']:<46}{record['gbit_per_second']:>8.2f}"
              f"{record['overload_gbit_per_second']:>10.2f}"
              f"{'' if possible is None else f'{possible:.2f}':>10}"
              f"{'' if ratio is None else f'{ratio:.2f}':>21}"
              f"{'' if p99 is None else f'{p99:.0f} us':>13}{record['spread']:>8.0%}"
              + remark_on(record))


if __name__ == "__main__":
    sys.exit("run it as: bench/run memif")
