"""What a run is: checked config, identity, folder, lock, result, and the runs it starts from.

Only omegaconf and the standard library, so that config errors and finished runs answer at once.
"""
