"""The paper's models as plain PyG modules, as a user would write them."""
