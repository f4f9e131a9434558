"""The policy-optimisation module: per-agent actors, trained by PPO plus the expert loss.

It sees an `ArrayEnv`, demonstrations and, where visited states are to be labelled, an `Expert`:
arrays and pure functions, handed in from above.
"""
