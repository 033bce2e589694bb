"""One engine and one graph shared by eight threads of Python, each engine with threads of its own: the answers of one call after another.

No torch, so that `make sanitize` runs it under the thread sanitizer.
"""

import threading

import numpy as np
import pytest
import samples

import degreequant as dq

TOGETHER, ROUNDS = 8, 4


def all_at_once(work):
    """The results of `work(0)` to `work(7)`, started together."""
    found, start = [None] * TOGETHER, threading.Barrier(TOGETHER)

    def one(number):
        start.wait()
        found[number] = [work(number) for _ in range(ROUNDS)]

    workers = [threading.Thread(target=one, args=(number,)) for number in range(TOGETHER)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return found


@pytest.mark.parametrize("size", [(40, 150), (1200, 9000)], ids=["small", "large"])
@pytest.mark.parametrize("name", samples.SAMPLES)
def test_threads_that_share_an_engine_get_the_answers_of_one(name, size):
    program = samples.SAMPLES[name]
    calls = [samples.call_arguments(program, np.random.default_rng(number), *size) for number in range(TOGETHER)]
    engine, alone = dq.Engine(program, threads=2), dq.Engine(program, threads=1)
    if "edge_index" in calls[0]:  # the same edges for all, with features of their own
        edges = {name: calls[0].pop(name) for name in ("edge_index", "edge_weight", "edge_type") if name in calls[0]}
        expected = [alone(**(call | edges)) for call in calls]
        sets = next(entry.sets for entry in program.inputs if entry.name == "edge_index")
        nodes = samples.nodes_of(sets[0], size[0]), samples.nodes_of(sets[1], size[0])
        # Its coefficients are computed by whoever comes first.
        graph = dq.Graph(edges["edge_index"], nodes, edges.get("edge_weight"), edges.get("edge_type"))
        calls = [{name: value for name, value in call.items() if name not in edges} | {"edge_index": graph} for call in calls]
    else:
        expected = [alone(**call) for call in calls]

    for answers, answer in zip(all_at_once(lambda number: engine(**calls[number])), expected, strict=True):
        for found in answers:
            np.testing.assert_array_equal(found, answer)
