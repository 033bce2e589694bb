"""The integer kernels beside torch, our float32 kernels and the limit of the machine; every answer is checked before it is timed.

    python benchmarks/kernels.py aggregate --widths 16 32 64 --threads 1
    python benchmarks/kernels.py gemm quantize csr

The graph: power law, `--nodes` nodes; both ends of an edge are drawn with a density that falls as rank^-1/2 (degrees with the exponent 3),
ranks shuffled, seed 0. Times are medians of `--repeats` rounds, contenders alternating. Each case is a line of `--out`.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import limits
import numpy as np
import torch

from degreequant.bench.timing import alternate
from degreequant.experiments import record
from degreequant.runtime import _kernels as native

ISA = native.available_isas()[-1]
CHECKED_ROWS = 1000
SHAPES = [(100_000, 602, 32), (50_000, 145, 145), (50_000, 128, 128), (2_708, 1_433, 16), (100_000, 32, 41), (50_000, 64, 64)]
PEAK_ROUNDS = 200_000

Contenders = dict[str, Callable[[], object]]


@dataclass(frozen=True)
class World:
    """A graph by destination, its edges, and the 16-bit coefficient of each, which is that of its source."""

    edge_index: np.ndarray
    nodes: int
    csr: native.Csr
    coefficient: np.ndarray
    padded_indices: np.ndarray

    @classmethod
    def power_law(cls, nodes: int, edges: int) -> "World":
        """The graph of the module's docstring."""
        rng = np.random.default_rng(0)
        ends = [rng.permutation(nodes).astype(np.int32)[(nodes * rng.random(edges) ** 2).astype(np.int32)] for _ in range(2)]
        edge_index = np.stack(ends)
        csr = native.Csr(edge_index, nodes, "keep", False, 2)
        padded = np.concatenate([csr.indices, np.zeros(limits.AHEAD, np.int32)])
        return cls(edge_index, nodes, csr, rng.integers(1, 32768, nodes).astype(np.int16)[csr.indices], padded)

    def first_rows(self) -> native.Csr:
        """The edges into the first rows alone."""
        return native.Csr(np.ascontiguousarray(self.edge_index[:, self.edge_index[1] < CHECKED_ROWS]), self.nodes, "keep", False)


@dataclass(frozen=True)
class Gathered:
    """A matrix of codes whose rows are summed."""

    codes: np.ndarray
    code_type: str
    width: int

    @classmethod
    def random(cls, code_type: str, nodes: int, width: int) -> "Gathered":
        """Random codes as a plan lays them out where they are gathered: the first row on a cache line, some bytes between rows."""
        size = width if code_type == "i8" else (width + 1) // 2
        stride = native.gathered_stride(size)
        store = np.random.default_rng(1).integers(0, 256, nodes * stride + 64).astype(np.uint8)
        start = -store.ctypes.data % 64
        codes = store[start : start + nodes * stride].reshape(nodes, stride)[:, :size]
        if width % 2 and code_type == "i4":
            codes[:, -1] &= 15
        return cls(codes.view(np.int8) if code_type == "i8" else codes, code_type, width)

    def aggregate(self, csr: native.Csr, coefficient: np.ndarray | None, isa: str, threads: int, out: np.ndarray) -> None:
        """The sum over neighbours with int8 or int4 results and one multiplier per row, as a graph convolution has it."""
        rule = native.Requantize(np.array([1 << 30], np.int32), np.array([40], np.int32), None, 0, *_range(self.code_type))
        row = np.full(csr.rows, 1 << 30, np.int32), np.full(csr.rows, 30, np.int32)
        shared = (self.codes, self.code_type, self.width, 0, csr, coefficient, 0, 0, rule, *row)
        native.aggregate(*shared, out, self.code_type, isa, threads)

    def check(self, world: World, coefficient: np.ndarray | None) -> None:
        """Asserts that the fastest kernel's first rows are the plain loops'."""
        outs = [np.zeros_like(self.codes) for _ in range(2)]
        self.aggregate(world.csr, coefficient, ISA, 1, outs[0])
        first = world.first_rows()
        self.aggregate(first, None if coefficient is None else coefficient[: first.num_edges], "reference", 2, outs[1])
        np.testing.assert_array_equal(outs[0][:CHECKED_ROWS], outs[1][:CHECKED_ROWS])


def _range(code_type: str) -> tuple[int, int]:
    return {"i8": (-128, 127), "i4": (-8, 7), "u8": (0, 255)}[code_type]


def _torch_csr(world: World, x: np.ndarray, index: torch.dtype) -> Callable[[], torch.Tensor]:
    """The same sum as a product with a float32 CSR matrix of coefficients."""
    values = torch.from_numpy(world.coefficient.astype(np.float32))
    crow, col = (torch.from_numpy(np.array(part)).to(index) for part in (world.csr.indptr, world.csr.indices))
    matrix = torch.sparse_csr_tensor(crow, col, values, (world.nodes, world.nodes), check_invariants=False)
    dense = torch.from_numpy(x)
    return lambda: matrix @ dense


def aggregate(options: argparse.Namespace) -> Iterator[record.Row]:
    """Sums over neighbours, per width: 16-bit coefficients of the edges unless `ones` is in the name."""
    for width in options.widths:
        # Beyond 64 columns the graph shrinks, so that the matrix keeps its size and the nodes their degrees.
        world = World.power_law(*(count * 64 // max(64, width) for count in (options.nodes, options.edges)))
        for threads in options.threads:
            torch.set_num_threads(threads)
            yield _aggregate_row(world, width, threads, options)


def _aggregate_row(world: World, width: int, threads: int, options: argparse.Namespace) -> record.Row:
    ours = {code_type: Gathered.random(code_type, world.nodes, width) for code_type in ("i8", "i4")}
    contenders: Contenders = {}
    for code_type, matrix in ours.items():
        for name, coefficient in (("", world.coefficient), (" ones", None)):
            matrix.check(world, coefficient)
            contenders[code_type + name] = partial(matrix.aggregate, world.csr, coefficient, ISA, threads, np.empty_like(matrix.codes))
        contenders[f"limit {code_type}"] = partial(
            limits.read_edges, matrix.codes, world.padded_indices, world.coefficient, world.csr.num_edges, threads
        )
    ratios = {"of limit": ("limit i8", "i8"), "int4 over int8": ("i8", "i4"), "int4 of limit": ("limit i4", "i4")}
    if not options.integers:
        contenders |= _float_contenders(world, ours["i8"].codes[:, :width].astype(np.float32), threads)
        ratios = {"over torch CSR": ("torch CSR", "i8"), "over own float32": ("own float32", "i8")} | ratios
    ms = {name: timing.ms for name, timing in alternate(contenders, repeats=options.repeats, warmup=1).items()}
    edges = world.csr.num_edges
    million = {name: round(edges / (1e3 * value), 1) for name, value in ms.items()}
    ms["torch CSR"] = min((ms[name] for name in ms if name.startswith("torch CSR")), default=0.0)
    case = {"nodes": world.nodes, "edges": edges, "width": width, "threads": threads, "law": "power, exponent 3"}
    return {"case": case, "million_edges_per_second": million, "ratios": {name: round(ms[a] / ms[b], 2) for name, (a, b) in ratios.items()}}


def _float_contenders(world: World, x: np.ndarray, threads: int) -> Contenders:
    """Our own float32 kernel and torch's, which agree with each other."""
    out = np.empty_like(x)
    coefficient = world.coefficient.astype(np.float32)
    finish = native.FloatFinish(None, None, False)
    row = np.ones(world.nodes, np.float32)
    contenders: Contenders = {
        "own float32": partial(native.float_aggregate, x, world.csr, None, coefficient, row, 0.0, finish, out, ISA, threads),
        "torch CSR int32": _torch_csr(world, x, torch.int32),
        "torch CSR int64": _torch_csr(world, x, torch.int64),
    }
    contenders["own float32"]()
    expected = contenders["torch CSR int64"]()
    torch.testing.assert_close(torch.from_numpy(out), expected, rtol=1e-3, atol=1e-3 * float(expected.abs().max()))
    return contenders


def gemm(options: argparse.Namespace) -> Iterator[record.Row]:
    """Matrix products, requantization included, beside torch._int_mm, which leaves int32 sums, and torch's float32."""
    for rows, inputs, outputs in SHAPES:
        for threads in options.threads:
            torch.set_num_threads(threads)
            yield _gemm_row(rows, inputs, outputs, threads, options.repeats)


def _gemm_row(rows: int, inputs: int, outputs: int, threads: int, repeats: int) -> record.Row:
    rng = np.random.default_rng(0)
    x = rng.integers(-128, 128, (rows, inputs)).astype(np.int8)
    weight = rng.integers(-127, 128, (outputs, inputs)).astype(np.int8)
    rule = native.Requantize(
        np.full(outputs, 1 << 30, np.int32), np.full(outputs, 44, np.int32), np.full(outputs, 77, np.int32), 0, -128, 127
    )
    packed = native.Weight(weight, 128)
    out, wanted = (np.empty((rows, outputs), np.int8) for _ in range(2))

    def ours(isa: str, target: np.ndarray) -> None:
        native.linear(x, "i8", inputs, 0, packed, rule, target, "i8", isa, threads)

    ours(ISA, out)
    ours("reference", wanted)
    np.testing.assert_array_equal(out, wanted)
    a, b = torch.from_numpy(x), torch.from_numpy(weight).t().contiguous()
    real = a.float(), b.float()
    assert (torch._int_mm(a, b)[:4].numpy() == x[:4].astype(np.int64) @ weight.T).all()
    contenders: Contenders = {
        "ours": partial(ours, ISA, out),
        "torch._int_mm": lambda: torch._int_mm(a, b),
        "torch float32": lambda: real[0] @ real[1],
        "peak": partial(limits.multiply_in_registers, PEAK_ROUNDS),  # of one thread
    }
    ms = {name: timing.ms for name, timing in alternate(contenders, repeats=repeats, warmup=1).items()}
    macs = dict.fromkeys(contenders, rows * inputs * outputs) | {"peak": threads * PEAK_ROUNDS * limits.MACS_A_ROUND}
    speed = {name: macs[name] / (1e6 * value) for name, value in ms.items()}
    ratios = {name: round(speed["ours"] / speed[name], 2) for name in speed if name != "ours"}
    case = {"rows": rows, "inputs": inputs, "outputs": outputs, "threads": threads}
    return {"case": case, "billion_macs_per_second": {name: round(value, 1) for name, value in speed.items()}, "ratios": ratios}


def quantize(options: argparse.Namespace) -> Iterator[record.Row]:
    """Floats to int8 codes, NaNs and infinities looked for, beside reading the floats and no more: Cora's, and as many as Reddit has."""
    for shape in ((2_708, 1_433), (232_965, 602)):
        x = np.random.default_rng(0).standard_normal(shape, np.float32)
        for threads in options.threads:
            torch.set_num_threads(threads)
            yield _quantize_row(x, threads, options.repeats)


def _quantize_row(x: np.ndarray, threads: int, repeats: int) -> record.Row:
    out, wanted = (np.empty(x.shape, np.int8) for _ in range(2))
    grid = 31.75, 0, -128, 127
    native.quantize(x, *grid, out, "i8", ISA, threads)
    native.quantize(x, *grid, wanted, "i8", "reference", 2)
    np.testing.assert_array_equal(out, wanted)
    contenders: Contenders = {
        "ours": partial(native.quantize, x, *grid, out, "i8", ISA, threads),
        "read only": torch.from_numpy(x).max,
        "torch": lambda: torch.quantize_per_tensor(torch.from_numpy(x), 1 / 31.75, 0, torch.qint8),
    }
    ms = {name: timing.ms for name, timing in alternate(contenders, repeats=repeats).items()}
    speed = {name: round(x.nbytes / (1e6 * value), 1) for name, value in ms.items()}
    case = {"rows": x.shape[0], "cols": x.shape[1], "threads": threads}
    return {"case": case, "gigabytes_read_per_second": speed, "ms": ms}


def csr(options: argparse.Namespace) -> Iterator[record.Row]:
    """Edges grouped by destination, every index checked, from 64-bit indices, beside torch's conversion of a COO matrix."""
    world = World.power_law(options.nodes, options.edges)
    edge_index = world.edge_index.astype(np.int64)
    source, destination = torch.from_numpy(edge_index)
    order = torch.argsort(destination, stable=True)
    np.testing.assert_array_equal(source[order].numpy(), world.csr.indices)
    for threads in options.threads:
        torch.set_num_threads(threads)

        def by_torch() -> torch.Tensor:
            return source[torch.argsort(destination, stable=True)]

        contenders: Contenders = {
            "ours": partial(native.Csr, edge_index, world.nodes, "keep", False, threads),
            "torch stable argsort": by_torch,
        }
        ms = {name: timing.ms for name, timing in alternate(contenders, repeats=options.repeats, warmup=1).items()}
        speed = {name: round(options.edges / (1e3 * value), 1) for name, value in ms.items()}
        yield {"case": {"nodes": world.nodes, "edges": options.edges, "threads": threads}, "million_edges_per_second": speed}


BENCHMARKS = {"aggregate": aggregate, "gemm": gemm, "quantize": quantize, "csr": csr}


def main() -> None:
    """Runs the benchmarks that were named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("benchmarks", nargs="+", choices=BENCHMARKS)
    parser.add_argument("--widths", type=int, nargs="+", default=[16, 32, 41, 64, 128, 145, 256, 602])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--nodes", type=int, default=232_965)
    parser.add_argument("--edges", type=int, default=20_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--integers", action="store_true", help="sums of codes and their limits alone, without float32 beside them")
    parser.add_argument("--out", default="results/kernels.jsonl")
    options = parser.parse_args()
    for name in options.benchmarks:
        for row in BENCHMARKS[name](options):
            row = {"benchmark": f"kernel {name}", "isa": ISA, "repeats": options.repeats} | row | record.environment()
            record.append(options.out, row)
            print(name, {key: row[key] for key in row if key not in ("versions", "processor", "python", "finished")}, flush=True)


if __name__ == "__main__":
    main()
