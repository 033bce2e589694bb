"""From a user's module to a prepared one: traced, its layers accompanied by sites that quantize, its call signature kept."""
