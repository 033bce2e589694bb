"""Quantizers: ranges observed while training, torch's fused fake-quantize forward, and the exact integer arithmetic of evaluation."""
