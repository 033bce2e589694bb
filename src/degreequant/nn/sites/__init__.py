"""Sites: what stands beside each call of a layer or a function and computes it quantized, one kind a file; `site` is their base."""
