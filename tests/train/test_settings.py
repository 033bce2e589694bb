import json

import pytest
import torch
from torch.optim import Adam

from degreequant.errors import TrainingError
from degreequant.train.settings import Schedule, Settings


def optimizer(lr):
    return Adam([torch.nn.Parameter(torch.zeros(1))], lr=lr)


def rates(settings, losses, break_at=None):
    """The learning rate of each epoch; at `break_at` everything is thrown away and made again from its state."""
    adam = optimizer(settings.lr)
    schedule, found = Schedule(adam, settings), []
    for epoch, loss in enumerate(losses):
        if epoch == break_at:
            state, groups = json.loads(json.dumps([schedule.state_dict(), adam.state_dict()["param_groups"]]))
            adam = optimizer(123.0)
            schedule = Schedule(adam, settings)
            adam.load_state_dict({"state": {}, "param_groups": groups})
            schedule.load_state_dict(state)
        found.append(adam.param_groups[0]["lr"])
        adam.step()
        schedule.after_epoch(loss)
        if schedule.is_over:
            break
    return found


def test_fixed():
    assert rates(Settings(lr=0.1), range(9)) == [0.1] * 9


def test_step():
    assert rates(Settings(lr=0.8, schedule="step", lr_step=3), range(8)) == [0.8] * 3 + [0.4] * 3 + [0.2] * 2


def test_plateau_waits_for_its_patience():
    losses = [3, 2, 2, 2, 2, 1, 1, 1, 1]
    assert rates(Settings(lr=0.8, schedule="plateau", lr_patience=2), losses) == [0.8] * 5 + [0.4] * 4


def test_plateau_ends_below_the_least_rate():
    settings = Settings(lr=1e-3, schedule="plateau", lr_patience=0, min_lr=2e-4)
    assert rates(settings, [1] * 50) == [1e-3, 1e-3, 5e-4, 2.5e-4]


@pytest.mark.parametrize("schedule", ["fixed", "plateau", "step", "cosine"])
def test_a_schedule_goes_on_from_its_state(schedule):
    settings = Settings(lr=0.8, schedule=schedule, lr_patience=1, lr_step=3)
    losses = [5, 4, 4, 4, 3, 3, 3, 2, 2, float("nan"), float("inf"), 2]
    for epoch in range(len(losses)):
        assert rates(settings, losses, break_at=epoch) == rates(settings, losses)


def test_an_unknown_schedule():
    with pytest.raises(TrainingError, match="schedule is 'linear'; expected one of fixed, plateau, step, cosine"):
        Settings(schedule="linear")


def test_a_cosine_uses_up_its_epochs_step_by_step():
    settings = Settings(epochs=20, lr=0.4, schedule="cosine")
    adam = optimizer(settings.lr)
    schedule, found = Schedule(adam, settings), []
    for step in range(41):
        schedule.before_step(step / 2)
        found.append(adam.param_groups[0]["lr"])
        schedule.after_epoch(1.0)
    assert found[:5] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert found[4:] == sorted(found[4:], reverse=True)
    assert found[22] == pytest.approx(0.2)
    assert found[40] == pytest.approx(0, abs=1e-12)
    assert not schedule.is_over
