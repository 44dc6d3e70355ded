"""The set `namespaces`: Penstock, wireguard-go and strongSwan as the server, side by side.

Each server has a laboratory of its own (namespaces.sh) with the same client, and all of them are up
for the whole run. They are measured in turn; the gateways that are not are stopped meanwhile.
"""
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys

LABORATORY = os.path.join(os.path.dirname(os.path.abspath(__file__)), "namespaces.sh")
# Protocol, the server that Penstock is compared with. The client is of the same program as that.
COMPARISONS = (("wireguard", "wireguard-go"), ("ike", "strongswan"))
TARGETS = ("gateway/app/penstockd", "gateway/cli/penstock")
PROGRAMS = ("ip", "iperf3", "jq", "wg", "wireguard-go", "swanctl")
SECONDS = 5.0  # of one measurement, where nobody says how long
READY_SECONDS = 90


class Laboratory:
    def __init__(self, protocol, server, build):
        self.name = f"{protocol}/{server}"
        # Out of reach of Ctrl-C: it cleans up when its input ends, whatever becomes of this program.
        self.process = subprocess.Popen(
            [LABORATORY, protocol, server], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=sys.stderr, text=True, start_new_session=True,
            env=os.environ | {"PENSTOCK_BUILD": os.path.basename(build)})

    def wait_ready(self):
        for line in self.process.stdout:
            if line.strip() == "ready":
                return
            print(f"bench: {self.name}: {line.rstrip()}", file=sys.stderr)
        raise RuntimeError(f"{self.name} does not start")

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
            print(f"bench: {self.name}: {line.rstrip()}", file=sys.stderr)
        raise RuntimeError(f"{self.name} has ended")

    def close(self):
        """Asks it to end; finish() waits."""
        try:
            self.process.stdin.close()
        except OSError:
            pass

    def finish(self):
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.terminate()
            self.process.wait()


def measure_pair(pair, direction, seconds):
    """One measurement of each server, the other one stopped."""
    result = {}
    for server, laboratory in pair.items():
        laboratory.ask("resume")
        answer = laboratory.ask(f"{direction} {seconds:.0f}")
        laboratory.ask("pause")
        if not answer.get("mbit_s"):
            raise RuntimeError(f"{laboratory.name}: {answer.get('error', 'nothing arrived')}")
        result[server] = answer
    return result


def run(build, pattern, repetitions, seconds, say):
    """Returns a record for each protocol and direction whose name matches the pattern."""
    if os.geteuid() != 0:
        raise RuntimeError("network namespaces need root")
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        raise RuntimeError(f"not installed: {' '.join(missing)} (deploy/packages)")
    cases = [(protocol, reference, direction) for protocol, reference in COMPARISONS
             for direction in ("up", "down")
             if re.search(pattern, f"namespaces/{protocol}/{direction}")]
    # A signal that ends this program ends the laboratories first.
    previous = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    laboratories = {}
    answers = {case: [] for case in cases}
    try:
        for protocol, reference in COMPARISONS:
            if not any(case[0] == protocol for case in cases):
                continue
            laboratories[protocol] = {}
            for server in ("penstock", reference):
                say(f"bench: starting the laboratory {protocol}/{server}")
                laboratory = Laboratory(protocol, server, build)
                laboratories[protocol][server] = laboratory
                laboratory.wait_ready()
                laboratory.ask("pause")
        for repetition in range(repetitions):
            for case in cases:
                protocol, _, direction = case
                say(f"bench: repetition {repetition + 1}/{repetitions}: "
                    f"namespaces/{protocol}/{direction}")
                # The order changes: what the first one leaves behind is not always the same one's.
                pair = laboratories[protocol]
                if repetition % 2 == 1:
                    pair = dict(reversed(pair.items()))
                answers[case].append(measure_pair(pair, direction, seconds or SECONDS))
    finally:
        everything = [one for pair in laboratories.values() for one in pair.values()]
        for laboratory in everything:
            laboratory.close()
        for laboratory in everything:
            laboratory.finish()
        signal.signal(signal.SIGTERM, previous)
    return [record_of(case, answers[case], seconds or SECONDS) for case in cases]


def record_of(case, answers, seconds):
    protocol, reference, direction = case

    def all_of(server, key):
        return [answer[server][key] for answer in answers]

    rates = all_of("penstock", "mbit_s")
    middle = statistics.median(rates)
    return {
        "case": f"namespaces/{protocol}/{direction}",
        "mbit_s": round(middle),
        "reference": reference,
        "reference_mbit_s": round(statistics.median(all_of(reference, "mbit_s"))),
        # Of neighbours in time: the machine's slow minutes are in both.
        "ratio": round(statistics.median(
            [one["penstock"]["mbit_s"] / one[reference]["mbit_s"] for one in answers]), 2),
        "cpu_s_per_gbyte": cpu_per_gbyte(answers, "penstock", seconds),
        "reference_cpu_s_per_gbyte": cpu_per_gbyte(answers, reference, seconds),
        "repetitions": len(answers),
        "seconds": seconds,
        "spread": round((max(rates) - min(rates)) / middle, 2) if middle else 0.0,
    }


def cpu_per_gbyte(answers, server, seconds):
    return round(statistics.median(
        [one[server]["gateway_cpu_s"] * 8000 / (one[server]["mbit_s"] * seconds)
         for one in answers]), 2)


def show(records):
    print("TCP through one tunnel, iperf3 at the client; the same client, the server exchanged.\n"
          "Mbit/s that arrived, and CPU seconds of the server for a GB; ratio: of neighbours in time."
          "\n")
    header = (f"{'case':<28}{'penstock':>10}{'reference':>11}{'ratio':>7}{'cpu':>7}{'ref cpu':>9}"
              f"{'spread':>8}  reference")
    print(header)
    print("-" * len(header))
    for record in records:
        print(f"{record['case']:<28}{record['mbit_s']:>10}{record['reference_mbit_s']:>11}"
              f"{record['ratio']:>7.2f}{record['cpu_s_per_gbyte']:>7.1f}"
              f"{record['reference_cpu_s_per_gbyte']:>9.1f}{record['spread']:>8.0%}"
              f"  {record['reference']}")
