"""The engine's published times: cases beside PyG, growth with the edges, fresh processes. Rows go to results/bench.jsonl.

python benchmarks/bench.py cases cora zinc-10k --threads 1 2        what `degreequant bench` runs, recorded
python benchmarks/bench.py growth --edges 1 10 100                  GCN on M edges, mean degree 50, width 32: time per edge
python benchmarks/bench.py fresh cora reddit                        start to first answer, and memory of a call, in new processes
python benchmarks/bench.py tables                                   the latest recorded rows as docs/benchmarks.md shows them
python benchmarks/bench.py draw docs/bench.png cora reddit          bars of the latest recorded cases
python benchmarks/bench.py draw-growth docs/growth.png              and the growth
"""

import argparse
import dataclasses
from collections.abc import Iterator
from pathlib import Path

from program_limit import limit_of_program

from degreequant.bench import ours
from degreequant.bench.cases import CASES, Case, find
from degreequant.bench.run import Row, Settings, run
from degreequant.experiments.record import append, environment, read
from degreequant.report.bench_picture import draw_bench
from degreequant.report.growth_picture import draw_growth

RESULTS = Path(__file__).parents[1] / "results" / "bench.jsonl"
MEAN_DEGREE = 50


def main() -> None:
    """Reads the command line and runs what it asks for."""
    arguments = _parser().parse_args()
    if arguments.what in _SHOWN:
        _SHOWN[arguments.what](arguments)
        return
    for row in {"cases": cases, "growth": growth, "fresh": fresh}[arguments.what](arguments):
        print(row, flush=True)
        append(RESULTS, {"what": arguments.what, **row, "environment": environment()})


def cases(arguments: argparse.Namespace) -> Iterator[Row]:
    """Rows of cases by name."""
    for case in find(arguments.case):
        yield from run(case, _settings(arguments), print, limit_of_program if arguments.limits else None)


def growth(arguments: argparse.Namespace) -> Iterator[Row]:
    """A GCN on generated graphs of more and more edges: nanoseconds for each."""
    for millions in arguments.edges:
        edges = round(1e6 * millions)
        about = Case("growth", "generated", "law", edges // MEAN_DEGREE, edges, 32, 32, 32, 8, 60, ("gcn",))
        for row in run(about, _settings(arguments)):
            yield row | ({"ns_per_edge": 1e6 * row["ms"] / edges} if "ms" in row else {})


def fresh(arguments: argparse.Namespace) -> Iterator[Row]:
    """Processes of their own: ours and PyG's."""
    from degreequant.bench.fresh import start
    from degreequant.bench.workloads import load, workload

    for case in find(arguments.case):
        inputs, small = load(case)
        for arch in arguments.arch or ["gcn"]:
            work = workload(case, arch, inputs, small)
            for name in arguments.contender or ["INT8", "float32", "PyG edge_index"]:
                made = ours.program(work, name) if name in ours.RECIPES else None
                for threads in arguments.threads:
                    found = dataclasses.asdict(start(work, made, threads, arguments.repeats, name))
                    yield {"case": case.name, "arch": arch, "threads": threads, "contender": name, **found}


def tables(arguments: argparse.Namespace) -> None:
    """Prints a table in Markdown for each case and number of threads: milliseconds, and how many times those of INT8."""
    groups: dict[tuple[str, int], list[Row]] = {}
    for row in latest(read(RESULTS), []):
        groups.setdefault((row["case"], row["threads"]), []).append(row)
    for (case, threads), group in groups.items():
        archs = list(dict.fromkeys(row["arch"] for row in group))
        print(f"\n**{case}**, {threads} thread{'s' * (threads > 1)}: {group[0]['nodes']:,} nodes, {group[0]['edges']:,} edges\n")
        print("|", " | ".join(["ms (times INT8's)", *map(str.upper, archs)]), "|\n|---|" + "---|" * len(archs))
        for name in dict.fromkeys(row["contender"] for row in group):
            found = {row["arch"]: row for row in group if row["contender"] == name}
            base = {row["arch"]: row["ms"] for row in group if row["contender"] == "INT8"}
            cells = [
                f"{row['ms']:.3g} ({row['ms'] / base[arch]:.2f})" if (row := found.get(arch, {})).get("ms") else row.get("reason", "-")
                for arch in archs
            ]
            ours = not name.startswith(("PyG", "limit"))
            print("|", " | ".join([f"engine, {name}" if ours else name, *cells]), "|")


def draw(arguments: argparse.Namespace) -> None:
    """The bars of the latest recorded cases."""
    draw_bench(latest(read(RESULTS), arguments.case), "Full-graph inference", arguments.path)


def draw_grown(arguments: argparse.Namespace) -> None:
    """The recorded growth."""
    grown = [row for row in read(RESULTS) if row["what"] == "growth"]
    draw_growth(grown, "GCN, two layers of 32, generated graphs of mean degree 50", arguments.path)


_SHOWN = {"tables": tables, "draw": draw, "draw-growth": draw_grown}


def latest(rows: list[Row], names: list[str]) -> list[Row]:
    """The last recorded row of each contender on each of these cases, of the commit that INT8 last ran at: no row of another."""
    chosen = {
        (row["case"], row["arch"], row["threads"], row["contender"]): row
        for row in rows
        if row["what"] == "cases" and row["case"] in (names or CASES)
    }
    commits = {key[:3]: row["environment"]["commit"] for key, row in chosen.items() if key[3] == "INT8"}
    return [row for key, row in chosen.items() if row["environment"]["commit"] == commits.get(key[:3])]


def _settings(arguments: argparse.Namespace) -> Settings:
    return Settings(tuple(arguments.threads), arguments.repeats, arguments.memory, tuple(arguments.arch), tuple(arguments.contender))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--threads", type=int, nargs="+", default=[1])
    shared.add_argument("--repeats", type=int, default=5)
    shared.add_argument("--memory", type=float, default=10.0, help="GiB that a peer may take")
    shared.add_argument("--arch", nargs="+", default=[])
    shared.add_argument("--contender", nargs="+", default=[])
    commands = parser.add_subparsers(dest="what", required=True)
    for name in ("cases", "fresh"):
        command = commands.add_parser(name, parents=[shared])
        command.add_argument("case", nargs="*")
        if name == "cases":
            command.add_argument("--limits", action="store_true", help="and what the machine needs at least (program_limit.py)")
    commands.add_parser("growth", parents=[shared]).add_argument("--edges", type=float, nargs="+", default=[1, 3, 10, 30, 100])
    commands.add_parser("tables")
    commands.add_parser("draw-growth").add_argument("path")
    picture = commands.add_parser("draw")
    picture.add_argument("path")
    picture.add_argument("case", nargs="*")
    return parser


if __name__ == "__main__":
    main()
