"""Show the results of test/bench/run and test/bench/instructions, as a table of ratios with
their targets, and as the figures of the documentation.

usage: report.py table RESULTS...       print the table
       report.py pages [--check]        write doc/benchmark.md, doc/benchmark.svg and
                                        doc/throughput.svg from test/bench/last/*.tsv,
                                        and the figures of the other pages;
                                        --check: only say which of them are stale

A line of a file with results: a key, a unit, and values.  The unit "text" is for values
that are no numbers.

A figure in a page stands between two comments, which do not show:

    <!-- bench EXPRESSION -->31.4<!-- /bench -->

A line of text must not begin with the first comment, as Markdown would end the
paragraph there.  EXPRESSION is arithmetic with the medians of keys, whose other characters than letters
and digits are underscores: "ours_batch_5ms_8_on_1 / queue_batch_5ms_8_on_1".  The
figure has three significant digits; "EXPRESSION, 2" has two.  EXPRESSION can also be
the name of a table, which is one of TABLES below: that stands on lines of its own.
"""

import collections
import glob
import os
import re
import statistics
import sys

LAST = "test/bench/last/*.tsv"

values = collections.defaultdict(list)
texts = collections.defaultdict(list)


def read(paths):
    for path in paths:
        for line in open(path):
            key, unit, rest = line.rstrip("\n").split("\t")
            if unit == "text":
                texts[key].append(rest)
            else:
                values[key] += [float(value) for value in rest.split()]


# Name, key of ours, key of theirs, target of the ratio, and whether more is better (as for
# transactions a second).  Measured with fsync = off, which shows the work of the server
# alone.
ROWS = [
    ("attach without index, largest fleet to smallest", "attach large", "attach small", 2.0, False),
    ("attach without index to plain-SQL migration", "attach middle", "migration middle", 1 / 50, False),
    ("attach with index, largest fleet to smallest", "attach+index large", "attach+index small", 2.0, False),
    ("attach with index to plain-SQL migration", "attach+index middle", "migration middle", 0.02, False),
    ("COPY into the domain to text + CHECK", "copy domain", "copy check", 1.05, False),
    ("INSERT … SELECT into the domain to text + CHECK", "insert domain", "insert check", 1.05, False),
    ("INSERT … SELECT into the domain to enum", "insert domain", "insert enum", 1.15, False),
    ("canary_workspaces() to the query, prepared", "canary list", "canary query", 1 / 1.1, True),
    ("UPDATE of another column, audited to not", "update audited", "update unaudited", 1.15, False),
    ("production_workspaces() to the query", "production list", "production query", 1.5, False),
    ("last page to first page, largest fleet", "last page", "first page", 1.3, False),
    ("is_open over 100,000 rows to a join by hand", "is_open", "is_open by hand", 1.5, False),
    ("allows over 100,000 rows to PL/pgSQL", "allows", "allows PL/pgSQL", 0.3, False),
    ("wanted_version over 100,000 rows to allows", "wanted_version", "allows", 1.2, False),
    ("10,000 candidates, all held, to a join by hand", "candidates held", "candidates held by hand", 1.5, False),
    ("25 claims and reports, largest fleet to smallest", "claim large", "claim small", 1 / 1.3, True),
    ("25 claims and reports, middle fleet to smallest", "claim middle", "claim small", 1 / 1.3, True),
    ("25 claims and reports, half way to start", "claim half way", "claim middle", 1 / 1.3, True),
    ("25 claims and reports, near the end to start", "claim near the end", "claim middle", 1 / 1.3, True),
    ("25 claims and reports to PL/pgSQL", "claim middle", "claim PL/pgSQL", 2.0, True),
    ("report, 10,000 in a transaction to 100", "reports apart many", "reports apart few", 1.3, False),
    ("report holding the package, 10,000 to 100", "reports holding many", "reports holding few", 1.3, False),
    ("8 clients on 8 packages to 1 on 1", "claim 8 on 8", "claim large", 1.7, True),
    ("8 clients on 1 package to 1 on 1", "claim 8 on 1", "claim large", 1.0, True),
    ("status of 1,000 rollouts, many installations to few", "status many", "status few", 1.3, False),
]

# The same with durable commits.
DURABLE_ROWS = [
    ("batches of 25, 5 ms, 8 clients to the queue", "ours batch 5ms 8 on 1", "queue batch 5ms 8 on 1", 0.9, True),
    ("batches of 25, 5 ms, 32 clients to the queue", "ours batch 5ms 32 on 1", "queue batch 5ms 32 on 1", 0.8, True),
    ("batches of 25, no delay, 1 client to the queue", "ours batch 0ms 1 on 1", "queue batch 0ms 1 on 1", 0.5, True),
    ("claims of 1, no delay, 1 client to the queue", "ours each 0ms 1 on 1", "queue each 0ms 1 on 1", 0.5, True),
    ("batches of 25, 5 ms, 8 clients on 1 package to 1 on 1", "ours batch 5ms 8 on 1", "ours batch 5ms 1 on 1", 7, True),
    ("claims of 1, 5 ms, 8 clients on 1 package to 1 on 1", "ours each 5ms 8 on 1", "ours each 5ms 1 on 1", 2, True),
]

# Where the durable part was measured: see test/bench/durable.
SYSTEMS = [("ours", "update_tier"), ("queue", "queue with SKIP LOCKED"), ("plain", "PL/pgSQL")]
SHAPES = [
    ("batch", "batches of 25, each report a transaction"),
    ("each", "claims of 1, each report a transaction"),
    ("transaction", "25 claims and their reports, one transaction"),
]
DELAYS = [("0ms", "no delay"), ("2ms", "2 ms delay"), ("5ms", "5 ms delay")]
COMBINATIONS = [(1, 1), (8, 1), (32, 1), (8, 8), (32, 8)]


def median(key):
    return statistics.median(values[key])


def short(value, digits=3):
    """A number for people: so many significant digits, and no exponent."""
    value = float(f"{value:.{digits}g}")
    return f"{value:,.0f}" if abs(value) >= 10 ** (digits - 1) or value == int(value) else f"{value:.{digits}g}"


def shown(key):
    list_ = sorted(values[key])
    return f"{statistics.median(list_):.4g} ({list_[0]:.4g} … {list_[-1]:.4g})"


Row = collections.namedtuple("Row", "what ours theirs ratio target more met")


def was_measured(row):
    return values[row[1]] and values[row[2]]


def compared(rows):
    result = []
    for what, ours, theirs, target, more in filter(was_measured, rows):
        ratio = median(ours) / median(theirs)
        result.append(Row(what, ours, theirs, ratio, target, more, ratio >= target if more else ratio <= target))
    return result


def bound(row):
    return f"{'≥' if row.more else '≤'} {row.target:.3g}"


def absolute():
    return [
        ("status of 1,000 rollouts, ms (target: under 5)",
         shown("status many") + ("" if median("status many") < 5 else " missed")),
        *[("25 claims and reports, million instructions (target: at most 10.1)",
           f"{count / 1e6:.3g}" + ("" if count <= 10.1e6 else " missed"))
          for count in values["instructions update_tier.claim_batch(25) and 25 reports"]],
        ("COPY into the domain to enum, ratio (no target: the server projects each row for a domain)",
         f"{median('copy domain') / median('copy enum'):.3g}"),
        ("prune, installations deleted", f"{values['prune installations'][0]:,.0f}"),
        ("prune, ms", f"{values['prune'][0]:,.0f}"),
        ("prune, memory kept afterwards, bytes", f"{values['prune memory'][0]:,.0f}"),
        ("slowest claim and 25 reports while pruning, ms", f"{values['claim while pruning'][0]:.3g}"),
        ("update_tier.installation after a claim and a report, bytes a row", shown("installation table")),
        ("its indexes, bytes a row", shown("installation indexes")),
        *[(f"{what} for each claim, {size} fleet", shown(f"{key} {size}"))
          for key, what in (("pages workspaces", "pages of workspaces"),
                            ("misses workspaces", "of these not in buffers"),
                            ("pages update_tier", "pages of our tables"),
                            ("misses update_tier", "of these not in buffers"))
          for size in ("small", "large") if values[f"{key} {size}"]],
        *[(f"page faults for each claim, {where}", shown(f"faults {where}"))
          for where in ("small", "large", "small, new connection", "large, new connection") if values[f"faults {where}"]],
        *[(f"25 claims and reports a second, {where}", shown(f"claim {where}"))
          for where in ("small, new connection", "large, new connection") if values[f"claim {where}"]],
        ("one commit of a row, no delay, ms", shown("commit 0ms")),
        ("one commit of a row, 5 ms delay, ms", shown("commit 5ms")),
    ]


# ---- The table that is printed ----


def print_table():
    for row in ROWS + DURABLE_ROWS:
        if not was_measured(row):
            sys.exit(f"{row[0]}: was not measured")
    for title, rows in (("fsync = off", ROWS), ("durable commits", DURABLE_ROWS)):
        print(f"{title:58}{'ratio':>8}{'target':>10}   ours; theirs: median (range)")
        for row in compared(rows):
            print(f"{row.what:58}{row.ratio:8.3f}{bound(row).replace(' ', ''):>10}{' ' if row.met else '!'}  "
                  f"{shown(row.ours)}; {shown(row.theirs)}")
        print()
    print("\n".join(throughput("0ms", str.ljust) + [""] + throughput("5ms", str.ljust)))
    print()
    for what, value in absolute():
        print(f"{what:58}{value}")


# ---- Tables of the pages ----


def row_table(rows):
    lines = ["| | ours | theirs | ratio | target | |", "| --- | --- | --- | --- | --- | --- |"]
    for row in compared(rows):
        lines.append(f"| {row.what} | {shown(row.ours)} | {shown(row.theirs)} | {row.ratio:.3f} | {bound(row)} | "
                     f"{'' if row.met else 'missed'} |")
    return lines


def throughput(delay, pad=lambda text, width: text):
    """Reports a second: a row for each shape and number of clients."""
    lines = [f"| {pad(dict(DELAYS)[delay], 46)} | " + " | ".join(pad(name, 22) for _, name in SYSTEMS) + " |", "| --- " * 4 + "|"]
    for shape, what in SHAPES:
        for clients, packages in COMBINATIONS:
            keys = [f"{system} {shape} {delay} {clients} on {packages}" for system, _ in SYSTEMS]
            if not any(values[key] for key in keys):
                continue
            label = f"{what}: {clients} client{'s' if clients > 1 else ''}, {packages} package{'s' if packages > 1 else ''}"
            lines.append(f"| {pad(label, 46)} | " + " | ".join(pad(shown(key) if values[key] else "", 22) for key in keys) + " |")
    return lines


def one_package():
    """How fast one package is, in batches of 25, at each time that a commit takes."""
    lines = ["| a commit takes | clients | update_tier | queue | update_tier to the queue | PL/pgSQL |", "| --- " * 6 + "|"]
    for delay, _ in DELAYS:
        for clients, packages in COMBINATIONS:
            ours, queue, plain = (f"{system} batch {delay} {clients} on {packages}" for system, _ in SYSTEMS)
            if packages == 1 and values[ours]:
                lines.append(f"| {short(median('commit ' + delay), 2)} ms | {clients} | {short(median(ours))} | {short(median(queue))} | "
                             f"{median(ours) / median(queue):.2f} | {short(median(plain))} |")
    return lines


def batch_sizes():
    lines = ["| claims in a batch | update_tier | queue |", "| --- | --- | --- |"]
    for size, shape in ((1, "each"), (25, "batch"), (500, "batch500")):
        ours, queue = (f"{system} {shape} 5ms 8 on 1" for system in ("ours", "queue"))
        lines.append(f"| {size} | {short(median(ours))} | {short(median(queue))} |")
    return lines


def missed():
    rows = [row for row in compared(ROWS + DURABLE_ROWS) if not row.met]
    newer = [row[0] for row in ROWS + DURABLE_ROWS if not was_measured(row)]
    lines = [f"- {row.what}: {row.ratio:.3g}, where the target is {bound(row)}" for row in rows]
    lines = ["Targets that were missed:", ""] + lines if rows else ["Every target was met."]
    if newer:
        lines += ["", "Not in the last full run, which is older: " + "; ".join(newer) + "."]
    return lines


TABLES = {
    "rows": lambda: row_table(ROWS),
    "durable rows": lambda: row_table(DURABLE_ROWS),
    "throughput 0ms": lambda: throughput("0ms"),
    "throughput 2ms": lambda: throughput("2ms"),
    "throughput 5ms": lambda: throughput("5ms"),
    "one package": one_package,
    "batch sizes": batch_sizes,
    "missed": missed,
    "absolute": lambda: ["| | |", "| --- | --- |"] + [f"| {what} | {value} |" for what, value in absolute()],
    "machine": lambda: [f"{texts['version'][0]} on {texts['cores'][0]} cores of {texts['cpu'][0]}."],
    "settings": lambda: ["```"] + texts["settings"] + ["```"],
    "durable settings": lambda: ["```"] + texts["durable settings"] + ["```"],
}


def figure(expression):
    if expression in texts:
        return texts[expression][0]
    names = {re.sub(r"\W+", "_", key).strip("_"): median(key) for key in list(values) if values[key]}
    expression, _, digits = expression.partition(",")
    try:
        return short(eval(expression, {"__builtins__": {}}, names), int(digits or 3))
    except (NameError, SyntaxError, TypeError, ValueError) as error:
        sys.exit(f"{expression}: {error}")


def filled(text):
    for name in re.findall(r"^ *<!-- bench (.*?) -->", text, flags=re.MULTILINE):
        if name not in TABLES:
            sys.exit(f"a line begins with the figure {name}")

    def fill(match):
        name = match[1]
        inside = "\n" + "\n".join(TABLES[name]()) + "\n" if name in TABLES else figure(name)
        return f"<!-- bench {name} -->{inside}<!-- /bench -->"
    return re.sub(r"<!-- bench (.*?) -->.*?<!-- /bench -->", fill, text, flags=re.DOTALL)


# ---- Charts ----

STYLE = """<style>
text{fill:#333}.faint{fill:#666}.ours{fill:#2468b0}.theirs{fill:#b9b9b9}.wrong,.missed{fill:#c4501b}
.target{stroke:#111;stroke-width:2}.axis{stroke:#999}.grid{stroke:#e2e2e2}
.line{fill:none;stroke-width:2.5}.line.ours{fill:none;stroke:#2468b0}.line.queue{stroke:#c47d10}.line.plain{stroke:#7a7a7a}
.dot.queue,text.queue{fill:#c47d10}.dot.plain,text.plain{fill:#7a7a7a}text.ours{fill:#2468b0}
@media(prefers-color-scheme:dark){text{fill:#ddd}.faint{fill:#aaa}.ours{fill:#6aa9ee}.theirs{fill:#6a6a6a}.wrong,.missed{fill:#f08a55}
.target{stroke:#fff}.axis{stroke:#888}.grid{stroke:#3a3a3a}.line.ours{stroke:#6aa9ee}.line.queue{stroke:#e8a840}.line.plain{stroke:#a5a5a5}
.dot.queue,text.queue{fill:#e8a840}.dot.plain,text.plain{fill:#a5a5a5}text.ours{fill:#6aa9ee}}
</style>
"""


def svg(width, height, parts):
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            f'font-family="sans-serif" font-size="13">\n{STYLE}' + "\n".join(parts) + "\n</svg>\n")


def text(x, y, content, anchor="start", kind="", size=13, bold=False):
    return (f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" class="{kind}" font-size="{size}"'
            f'{" font-weight=" + chr(34) + "bold" + chr(34) if bold else ""}>{content}</text>')


def ratios_chart():
    """For each row a bar of ours above one of what it is compared with, which is 1."""
    left, right, after = 400, 680, 700
    rows = compared(ROWS + DURABLE_ROWS)
    by_clients = [row for row in rows if "1 on 1" in row.what]
    panels = [
        ("Time: shorter is better", [row for row in rows if not row.more]),
        ("Throughput: longer is better", [row for row in rows if row.more and row not in by_clients]),
        ("Many clients: longer is better", by_clients),
    ]
    parts = [
        f'<rect class="ours" x="{left}" y="8" width="24" height="8"/>' + text(left + 30, 17, "update_tier"),
        f'<rect class="theirs" x="{left + 130}" y="8" width="24" height="8"/>' + text(left + 160, 17, "what it is compared with"),
        f'<line class="target" x1="{left + 345}" y1="4" x2="{left + 345}" y2="20"/>' + text(left + 352, 17, "target"),
    ]
    y = 50
    for title, chosen in panels:
        parts.append(text(left, y, title, bold=True))
        parts.append(text(after, y, "ratio (target)", kind="faint"))
        y += 10
        most = 1.1 * max([1] + [row.target for row in chosen])
        scale = (right - left) / most
        for row in chosen:
            long = min(row.ratio, most) * scale
            kind = "ours" if row.met else "missed"
            parts.append(text(left - 10, y + 15, row.what, "end"))
            parts.append(f'<rect class="{kind}" x="{left}" y="{y + 3}" width="{max(long, 1):.1f}" height="8"/>')
            # A bar that would be too long is cut, and ends in a point.
            if row.ratio > most:
                parts.append(f'<path class="{kind}" d="M{right} {y + 1} l9 6 l-9 6 z"/>')
            parts.append(f'<rect class="theirs" x="{left}" y="{y + 12}" width="{scale:.1f}" height="5"/>')
            at = left + row.target * scale
            parts.append(f'<line class="target" x1="{at:.1f}" y1="{y}" x2="{at:.1f}" y2="{y + 20}"/>')
            verdict = "" if row.met else ": missed"
            parts.append(text(after, y + 15, f"{short(row.ratio)} ({bound(row)}){verdict}", kind="" if row.met else "wrong"))
            y += 25
        y += 32
    return svg(870, y - 20, parts)


def throughput_chart():
    """Reports a second against clients, all on one package."""
    width, height = 250, 150
    clients = [1, 8, 32]
    parts = [text(60, 20, "Reports a second, all clients on one package: higher is better", bold=True, size=15)]
    for n, (system, name) in enumerate(SYSTEMS):
        x = 60 + 230 * n
        parts.append(f'<line class="line {system}" x1="{x}" y1="36" x2="{x + 24}" y2="36"/>' + text(x + 30, 41, name, kind=system))
    for row, (shape, what) in enumerate(SHAPES):
        top = 92 + row * (height + 78)
        parts.append(text(60, top - 24, what[0].upper() + what[1:], bold=True))
        for column, (delay, _) in enumerate(DELAYS):
            points = {system: [values[f"{system} {shape} {delay} {n} on 1"] and median(f"{system} {shape} {delay} {n} on 1") for n in clients]
                      for system, _ in SYSTEMS}
            if not all(all(list_) for list_ in points.values()):
                continue
            left = 60 + column * (width + 65)
            most = nice(max(max(list_) for list_ in points.values()))
            parts.append(text(left, top - 8, f"a commit takes {short(median('commit ' + delay), 2)} ms", kind="faint"))
            for part in range(5):
                y = top + height - height * part / 4
                parts.append(f'<line class="{"grid" if part else "axis"}" x1="{left}" y1="{y:.1f}" x2="{left + width}" y2="{y:.1f}"/>')
                parts.append(text(left - 6, y + 4, short(most * part / 4), "end", "faint", 11))
            xs = [left + 20 + (width - 75) * n / 2 for n in range(3)]
            for x, n in zip(xs, clients):
                parts.append(text(x, top + height + 17, f"{n} client{'s' if n > 1 else ''}", "middle", "faint", 11))
            ends = []
            for system, _ in SYSTEMS:
                ys = [top + height - height * value / most for value in points[system]]
                parts.append(f'<polyline class="line {system}" points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in zip(xs, ys))}"/>')
                parts += [f'<circle class="dot {system}" cx="{x:.1f}" cy="{y:.1f}" r="3.5"/>' for x, y in zip(xs, ys)]
                ends.append([ys[-1], system, points[system][-1]])
            # The figures at the right ends, without overlap.
            ends.sort(reverse=True)
            below = top + height + 8
            for y, system, value in ends:
                below = min(y, below - 14)
                parts.append(text(xs[-1] + 9, below + 4, short(value), kind=system, size=12))
    return svg(60 + 3 * (width + 65), 92 + 3 * (height + 78) - 40, parts)


def nice(value):
    """The next number above that an axis can end with."""
    digits = 10 ** (len(str(int(value))) - 1)
    return next(step * digits for step in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10) if step * digits >= value)


# ---- Pages ----

BENCHMARK = """# The last full run of `test/bench/run`

<!-- bench machine -->
<!-- /bench -->
Medians, with the range in brackets. [performance.md](performance.md) says what was
measured and why it is as it is.

<!-- bench missed -->
<!-- /bench -->

![Ours beside what it is compared with, and the targets](benchmark.svg)

## Durable commits

`fsync` is on. The delay is `commit_delay` with `commit_siblings = 0`, which makes every
commit take longer, as a slower disk or a synchronous standby does. Reports a second, in
five turns, or three of PL/pgSQL.

![Reports a second against clients](throughput.svg)

<!-- bench durable rows -->
<!-- /bench -->

<!-- bench throughput 0ms -->
<!-- /bench -->

<!-- bench throughput 2ms -->
<!-- /bench -->

<!-- bench throughput 5ms -->
<!-- /bench -->

## The work of the server, with fsync off

`fsync` is off, so that what is compared is the work of the server and not the disk.
Milliseconds, or transactions a second where the target is a least value; microseconds for
each of many reports.

<!-- bench rows -->
<!-- /bench -->

## Other figures

<!-- bench absolute -->
<!-- /bench -->

## Settings of the servers

With durable commits:

<!-- bench durable settings -->
<!-- /bench -->

With `fsync` off:

<!-- bench settings -->
<!-- /bench -->
"""


def write_pages(check):
    pages = {path: filled(open(path).read()) for path in sorted(glob.glob("doc/*.md") + ["README.md"])}
    pages["doc/benchmark.md"] = filled(BENCHMARK)
    pages["doc/benchmark.svg"] = ratios_chart()
    pages["doc/throughput.svg"] = throughput_chart()
    stale = [path for path, content in pages.items() if not os.path.exists(path) or open(path).read() != content]
    if check:
        if stale:
            sys.exit(f"not as the last benchmark has it, run test/bench/report.py pages: {' '.join(stale)}")
        return
    for path in stale:
        with open(path, "w") as out:
            out.write(pages[path])


def main():
    if sys.argv[1:2] == ["table"] and len(sys.argv) > 2:
        read(sys.argv[2:])
        print_table()
    elif sys.argv[1:2] == ["pages"] and sys.argv[2:] in ([], ["--check"]):
        read(sorted(glob.glob(LAST)))
        write_pages(sys.argv[2:] == ["--check"])
    else:
        sys.exit(__doc__)


main()
