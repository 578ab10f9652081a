"""Turn the lines of test/bench/run (key, unit, values) into a table of ratios with
their targets, and, after a full run, into doc/benchmark.md and doc/benchmark.svg.

usage: report.py MODE RESULTS SETTINGS VERSION CORES CPU
"""

import collections
import statistics
import sys

mode, results, settings, version, cores, cpu = sys.argv[1:7]

values = collections.defaultdict(list)
for line in open(results):
    fields = line.rstrip("\n").split("\t")
    if len(fields) == 3:
        values[fields[0]] += [float(value) for value in fields[2].split()]

# What, ours, theirs, what the ratio must be, and whether more is better (as
# transactions a second are).
ROWS = [
    ("attach without index, largest fleet to smallest", "attach large", "attach small", 2.0, False),
    ("attach without index to plain-SQL migration", "attach middle", "migration middle", 1 / 50, False),
    ("attach with index to plain-SQL migration", "attach+index middle", "migration middle", 0.7, False),
    ("COPY into the domain to text + CHECK", "copy domain", "copy check", 0.90, False),
    ("COPY into the domain to enum", "copy domain", "copy enum", 1.15, False),
    ("INSERT … SELECT into the domain to text + CHECK", "insert domain", "insert check", 0.90, False),
    ("INSERT … SELECT into the domain to enum", "insert domain", "insert enum", 1.15, False),
    ("canary_workspaces() to the query, prepared", "canary list", "canary query", 1 / 1.1, True),
    ("UPDATE of another column, audited to not", "update audited", "update unaudited", 1.15, False),
    ("production_workspaces() to the query", "production list", "production query", 1.5, False),
    ("last page to first page, largest fleet", "last page", "first page", 1.3, False),
    ("is_open over 100,000 rows to a join by hand", "is_open", "is_open by hand", 1.5, False),
    ("allows over 100,000 rows to PL/pgSQL", "allows", "allows PL/pgSQL", 0.5, False),
    ("25 claims and reports, largest fleet to smallest", "claim large", "claim small", 1 / 1.3, True),
    ("25 claims and reports, middle fleet to smallest", "claim middle", "claim small", 1 / 1.3, True),
    ("25 claims and reports, half way to start", "claim half way", "claim middle", 1 / 1.3, True),
    ("25 claims and reports, near the end to start", "claim near the end", "claim middle", 1 / 1.3, True),
    ("25 claims and reports to PL/pgSQL", "claim middle", "claim PL/pgSQL", 2.0, True),
    ("8 clients on 8 packages to 1 on 1", "claim 8 on 8", "claim large", 1.7, True),
    ("8 clients on 1 package to 1 on 1", "claim 8 on 1", "claim large", 1.0, True),
    ("status of 1,000 rollouts, many installations to few", "status many", "status few", 1.3, False),
]


def shown(key):
    list_ = sorted(values[key])
    return f"{statistics.median(list_):.4g} ({list_[0]:.4g} … {list_[-1]:.4g})"


table = []
for what, ours, theirs, target, more in ROWS:
    if not values[ours] or not values[theirs]:
        sys.exit(f"{what}: was not measured")
    ratio = statistics.median(values[ours]) / statistics.median(values[theirs])
    met = ratio >= target if more else ratio <= target
    table.append((what, shown(ours), shown(theirs), ratio, target, more, met))

absolute = [
    ("status of 1,000 rollouts, ms", shown("status many")),
    ("prune, installations deleted", f"{values['prune installations'][0]:,.0f}"),
    ("prune, ms", f"{values['prune'][0]:,.0f}"),
    ("prune, memory kept afterwards, bytes", f"{values['prune memory'][0]:,.0f}"),
    ("slowest claim and 25 reports while pruning, ms", f"{values['claim while pruning'][0]:.3g}"),
]

print(f"{'':58}{'ratio':>8}{'target':>10}   ours; theirs: median (range)")
for what, ours, theirs, ratio, target, more, met in table:
    print(f"{what:58}{ratio:8.3f}{('≥' if more else '≤') + format(target, '.3g'):>10}{' ' if met else '!'}  {ours}; {theirs}")
for what, value in absolute:
    print(f"{what:58}{value}")
if mode != "full":
    print("\nThe targets are those of a full run: some depend on its sizes.")

if mode == "full":
    with open("doc/benchmark.md", "w") as out:
        out.write("# The last full run of `test/bench/run`\n\n")
        out.write(f"{version} on {cores} cores of {cpu}. Medians, with the range in brackets: milliseconds, or\n")
        out.write("transactions a second where more is better. [performance.md](performance.md) says what was\n")
        out.write("measured and why it is as it is.\n\n![The ratios and their targets](benchmark.svg)\n\n")
        out.write("| | ours | theirs | ratio | target | |\n| --- | --- | --- | --- | --- | --- |\n")
        for what, ours, theirs, ratio, target, more, met in table:
            out.write(f"| {what} | {ours} | {theirs} | {ratio:.3f} | {'≥' if more else '≤'} {target:.3g} | {'' if met else 'missed'} |\n")
        out.write("\n| | |\n| --- | --- |\n")
        for what, value in absolute:
            out.write(f"| {what} | {value} |\n")
        out.write("\nSettings of the server:\n\n```\n" + open(settings).read() + "```\n")

    # A bar for each row: how far the target is used up, on a scale where it is 1.
    height = 26 * len(table) + 40
    with open("doc/benchmark.svg", "w") as out:
        out.write(f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 860 {height}" font-family="sans-serif" font-size="13">\n')
        out.write("<style>text{fill:#444}.met{fill:#3a7}.missed{fill:#c63}.line{stroke:#888}"
                  "@media(prefers-color-scheme:dark){text{fill:#ccc}}</style>\n")
        out.write('<text x="380" y="16">how much of the target is used up: less is better, 1 is the target</text>\n')
        for n, (what, _, _, ratio, target, more, met) in enumerate(table):
            used = target / ratio if more else ratio / target
            y = 28 + 26 * n
            out.write(f'<text x="370" y="{y + 14}" text-anchor="end">{what}</text>'
                      f'<rect class="{"met" if met else "missed"}" x="380" y="{y}" width="{min(used, 1.5) * 260:.0f}" height="18"/>'
                      f'<text x="{390 + min(used, 1.5) * 260:.0f}" y="{y + 14}">{ratio:.3g}</text>\n')
        out.write(f'<line class="line" x1="640" y1="22" x2="640" y2="{height - 8}"/>\n</svg>\n')
