"""What every test may use."""

import platform

import hypothesis
import pytest

hypothesis.settings.register_profile("degreequant", deadline=None)
hypothesis.settings.load_profile("degreequant")

COMPILED_ISAS = ("reference", "avx2", "avx512") if platform.machine() in ("x86_64", "AMD64") else ("reference",)


@pytest.fixture(scope="session", params=COMPILED_ISAS)
def isa(request: pytest.FixtureRequest) -> str:
    """Every instruction set there are kernels for on this architecture; those that this CPU lacks are skipped, by name."""
    from degreequant.runtime import _kernels

    if request.param not in _kernels.available_isas():
        pytest.skip(f"this CPU has no {request.param}")
    return str(request.param)
