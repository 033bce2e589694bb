"""Running a `Program`: numpy and the native kernels, no torch."""
