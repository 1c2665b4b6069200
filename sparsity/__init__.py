"""Which weights are zero: pure tensor code, from scores to masks. Imports torch and the standard library only."""
