"""What several sets need."""
import statistics


def case_of(name):
    return name.removesuffix("/manual_time").removesuffix("/real_time")


def median_and_spread(values):
    middle = statistics.median(values)
    return middle, (max(values) - min(values)) / middle if middle else 0.0


def by_case(runs):
    cases = {}
    for run in runs:
        cases.setdefault(case_of(run["name"]), []).append(run)
    return cases


def print_table(records, columns):
    """Columns: (title, key, format)."""
    width = max(len("case"), max(len(record["case"]) for record in records)) + 2
    header = f"{'case':<{width}}" + "".join(f"{title:>{max(len(title), 7) + 2}}"
                                            for title, _, _ in columns)
    print(header)
    print("-" * len(header))
    for record in records:
        print(f"{record['case']:<{width}}" + "".join(
            f"{format(record[key], form):>{max(len(title), 7) + 2}}"
            for title, key, form in columns))
