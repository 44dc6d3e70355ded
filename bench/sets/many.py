"""The sets scale, workers, churn and overload: many tunnels, two workers, changes under load."""
import statistics

from sets.common import by_case, median_and_spread, print_table


def scale_records(runs):
    records = []
    for case, group in by_case(runs).items():
        def middle(name):
            return statistics.median([run[name] for run in group])
        to_2ghz = 2.0 / group[0]["tsc_ghz"]
        cycles, spread = median_and_spread([run["cycles_per_packet"] for run in group])
        records.append({
            "case": case,
            "cycles_per_packet": round(cycles, 1),
            "aead_cycles_per_packet": round(middle("aead_cycles_per_packet"), 1),
            "overhead_cycles": round(middle("overhead_cycles"), 1),
            "overhead_cycles_at_2ghz": round(middle("overhead_cycles") * to_2ghz, 1),
            "add_us_per_tunnel": round(middle("add_us"), 2),
            "hot_bytes_per_tunnel": round(middle("hot_bytes")),
            "resident_bytes_per_tunnel": round(middle("resident_bytes")),
            "repetitions": len(group),
            "spread": round(spread, 3),
        })
    return records


def print_scale(records):
    print("TSC cycles per packet, tunnels drawn at random; overhead = the whole path less the cipher "
          "alone. Of\neach tunnel: microseconds to add it, bytes that workers touch beside the "
          "cipher's tables (an SA each\nway), and resident bytes of everything.\n")
    print_table(records, [
        ("path", "cycles_per_packet", ".0f"), ("cipher", "aead_cycles_per_packet", ".0f"),
        ("overhead", "overhead_cycles", ".0f"), ("at 2 GHz", "overhead_cycles_at_2ghz", ".0f"),
        ("add us", "add_us_per_tunnel", ".1f"), ("hot B", "hot_bytes_per_tunnel", "d"),
        ("resident B", "resident_bytes_per_tunnel", "d"), ("spread", "spread", ".0%")])


def workers_records(runs):
    records = []
    for case, group in by_case(runs).items():
        record = {"case": case}
        for what in ("path", "cipher"):
            record[what + "_alone"] = round(
                statistics.median([run[what + "_alone"] for run in group]), 1)
            record[what + "_both"] = round(
                statistics.median([run[what + "_both"] for run in group]), 1)
            record[what + "_ratio"] = round(statistics.median(
                [run[what + "_both"] / run[what + "_alone"] for run in group]), 3)
        _, spread = median_and_spread([run["path_both"] / run["path_alone"] for run in group])
        records.append(record | {"repetitions": len(group), "spread": round(spread, 3)})
    return records


def print_workers(records):
    print("TSC cycles per packet and worker: of one alone, and of two at once with tunnels of their "
          "own; the\nsame of the cipher alone. Spread is that of the path's ratio.\n")
    print_table(records, [
        ("alone", "path_alone", ".0f"), ("both", "path_both", ".0f"), ("ratio", "path_ratio", ".3f"),
        ("cipher", "cipher_alone", ".0f"), ("both", "cipher_both", ".0f"),
        ("ratio", "cipher_ratio", ".3f"), ("spread", "spread", ".0%")])


PERCENTILES = ("p50", "p99", "p99_9", "max")


def churn_records(runs):
    records = []
    for case, group in by_case(runs).items():
        record = {"case": case}
        for phase in ("quiet", "churn"):
            for name in PERCENTILES:
                record[f"{phase}_{name}_us"] = round(
                    statistics.median([run[f"{phase}_{name}"] for run in group]), 2)
        record["changes"] = round(sum(run["changes"] for run in group))
        record["change_us"] = round(statistics.median([run["change_us"] for run in group]), 2)
        records.append(record | {"repetitions": len(group)})
    return records


def print_churn(records):
    print("Microseconds between two polls of a worker at full load with 60,000 tunnels, while none "
          "changes and\nwhile 10,000 a second are added, rekeyed or removed; and what a change costs "
          "the control thread.\n")
    print_table(records, [(f"{phase[0]} {name.replace('_', '.')}", f"{phase}_{name}_us", ".1f")
                          for name in PERCENTILES for phase in ("quiet", "churn")] +
                [("changes", "changes", "d"), ("us each", "change_us", ".1f")])
    print("\nq: quiet, c: with changes.")


def overload_records(runs):
    records = []
    for case, group in by_case(runs).items():
        ratio, spread = median_and_spread([run["ratio"] for run in group])
        records.append({"case": case, "ratio": round(ratio, 3),
                        "mpps": round(statistics.median([run["mpps"] for run in group]), 3),
                        "repetitions": len(group), "spread": round(spread, 3)})
    return records


def print_overload(records):
    print("Packets forwarded in overload (Mpps), and beside those of the same load without one.\n")
    print_table(records, [("Mpps", "mpps", ".2f"), ("ratio", "ratio", ".3f"),
                          ("spread", "spread", ".0%")])
