"""What a run is: checked config, identity, folder, lock, result, and the runs it starts from.

Only the standard library, omegaconf and the errors of Hydra, so that config errors and finished runs answer at once.
"""
