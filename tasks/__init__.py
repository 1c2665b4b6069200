"""What is learned: rows, the data that holds them, and the LightningModules that train on them."""
