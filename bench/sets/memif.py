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

# Name, options of penstock-load.
CASES = [
    ("wireguard/chacha20poly1305", ["--protocol", "wireguard"]),
    ("esp/aes128gcm", ["--protocol", "esp", "--esp-cipher", "aes128gcm16"]),
]
DIRECTIONS = ("up", "down", "both")
SIZE = "1420"
LOSS_PERCENT = "0.1"


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


def records(build, repetitions, seconds, pattern, say):
    """One record a case. `pattern`: a compiled expression that the case's name matches."""
    if len(os.sched_getaffinity(0)) < 2:
        raise Failed("the set memif needs two CPUs")
    made = []
    for name, extra in CASES:
        wanted = [way for way in DIRECTIONS if pattern.search(f"memif/{name}/{SIZE}/{way}")]
        if not wanted:
            continue
        if "esp" in name and shutil.which("swanctl") is None:
            say("bench: swanctl is not installed: leaving ESP out")
            continue
        for way in wanted:
            case = f"memif/{name}/{SIZE}/{way}"
            runs = []
            for repetition in range(repetitions):
                say(f"bench: {case}, repetition {repetition + 1}/{repetitions}")
                runs.append(one_run(build, extra, way, seconds))
            made.append(record_of(case, way, runs))
    return made


def record_of(case, way, runs):
    ways = 2 if way == "both" else 1
    rates = [run["found"][0]["bps_per_direction"] * ways / 1e9 for run in runs]
    flood = [run["trials"][0]["received_bps"] / 1e9 for run in runs]
    middle = statistics.median(rates)
    latency = [run["latency"][0][name]["latency_ns"]["p99"] / 1e3 for run in runs
               if run.get("latency") for name in ("up", "down") if name in run["latency"][0]]
    shares = [run["cpu_share"] for run in runs if "cpu_share" in run]
    return {
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


def show(made):
    print(f"Gbit/s of inner packets of {SIZE} B with at most {LOSS_PERCENT} % lost: penstockd with one "
          "worker on one CPU,\nthe generator on another, memif between them. Both: the two directions "
          "together. Overload: what\ncomes through when the generator sends all it can.\n")
    header = f"{'case':<46}{'Gbit/s':>8}{'overload':>10}{'p99 at half':>13}{'spread':>8}"
    print(header)
    print("-" * len(header))
    for record in made:
        p99 = record["latency_p99_us_at_half"]
        print(f"{record['case']:<46}{record['gbit_per_second']:>8.2f}"
              f"{record['overload_gbit_per_second']:>10.2f}"
              f"{'' if p99 is None else f'{p99:.0f} us':>13}{record['spread']:>8.0%}"
              + ("  the generator was the limit" if record["generator_was_the_limit"] else ""))
    shares = [record["gateway_cpu_share"] for record in made if record["gateway_cpu_share"]]
    if shares and min(shares) < 0.97:
        print(f"\nThe gateway had only {min(shares):.0%} of a CPU: others ran on it, and the figures are "
              "too low.")


if __name__ == "__main__":
    sys.exit("run it as: bench/run memif")
