import copy
import pickle

import numpy as np
import torch

from degreequant.memo import TensorMemo


class Counting:
    """Calls of `compute`, which sums its tensors as they are then."""

    def __init__(self, capacity: int = 8) -> None:
        self.memo = TensorMemo(capacity)
        self.calls = 0

    def __call__(self, *tensors, key="key"):
        def compute():
            self.calls += 1
            return sum(float(t.detach().sum()) for t in tensors if t is not None)

        return self.memo.get(key, tensors, compute)


def test_the_same_content_is_computed_once():
    counting, x = Counting(), torch.arange(6)
    assert [counting(x), counting(x), counting(x.clone())] == [15, 15, 15]
    assert counting.calls == 1


def test_an_edit_in_place_is_seen():
    counting, x = Counting(), torch.arange(6)
    counting(x)
    x[0] = 5
    assert counting(x) == 20


def test_an_edit_behind_torch_is_seen():
    array = np.arange(6)
    counting, x = Counting(), torch.from_numpy(array)
    counting(x)
    array[0] = 5
    assert counting(x) == 20
    array[0] = 0
    assert counting(x) == 15
    assert counting.calls == 2


def test_another_tensor_at_the_same_address_is_seen():
    counting, memory = Counting(), torch.arange(6.0)
    for value in (1.0, 2.0, 3.0):
        x = memory[:4]
        x.fill_(value)
        assert counting(x) == 4 * value
        assert x.data_ptr() == memory.data_ptr()
        del x


def test_key_shape_kind_and_absence_matter():
    counting, x = Counting(), torch.ones(4, dtype=torch.long)
    counting(x, x, key=1)
    counting(x, x, key=2)
    counting(x, x.view(2, 2), key=1)
    counting(x, x.double(), key=1)
    counting(x, None, key=1)
    counting(None, x, key=1)
    assert counting.calls == 6
    counting(x, None, key=1)
    assert counting.calls == 6


def test_types_that_numpy_does_not_know():
    counting, x = Counting(), torch.arange(4).to(torch.bfloat16)
    assert counting(x) == counting(x.clone()) == 6
    x[0] = 1
    assert counting(x) == 7
    assert counting.calls == 2


def test_it_forgets_the_oldest():
    counting = Counting(capacity=2)
    for value in (1, 2, 3, 3, 2):
        counting(torch.tensor([value]))
    assert counting.calls == 3
    counting(torch.tensor([1]))
    assert counting.calls == 4


def test_the_snapshot_keeps_no_graph_of_gradients():
    counting = Counting()
    weight = torch.ones(3, requires_grad=True)
    assert counting(weight * 2) == counting(torch.full((3,), 2.0)) == 6
    assert counting.calls == 1


def test_what_was_computed_in_inference_mode_serves_training():
    memo, x = TensorMemo(), torch.ones(2)
    with torch.inference_mode():
        memo.get("double", (x,), lambda: x * 2)
    weight = torch.ones(2, requires_grad=True)
    (weight * memo.get("double", (x,), lambda: x * 2)).sum().backward()
    assert weight.grad.tolist() == [2, 2]


def test_copies_start_empty():
    counting, x = Counting(capacity=3), torch.ones(2)
    counting(x)
    for twin in (copy.deepcopy(counting.memo), pickle.loads(pickle.dumps(counting.memo))):
        assert twin.capacity == 3
        assert twin.get("key", (x,), lambda: "computed anew") == "computed anew"
