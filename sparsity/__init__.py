"""Which weights are zero: pure tensor code, from a scope and a score to masks. Imports torch and the standard library only."""
