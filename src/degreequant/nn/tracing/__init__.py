"""From a forward to a `Plan`: what is called, in order, with what; and shapes as far as a trace can know them."""
