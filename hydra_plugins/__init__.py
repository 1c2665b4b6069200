"""Our Hydra plugins; Hydra finds them because the folder bears this name."""
