"""Where a quantized model loses its accuracy: its stored tensors beside the float model's, by in-degree, and what each layer costs."""
