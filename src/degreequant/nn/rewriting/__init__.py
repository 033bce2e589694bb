"""From a plan to one with sites in it: what each step means, what becomes of its result, which site stands for it."""
