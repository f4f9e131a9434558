"""The road task without reinforcement learning: networks, traffic, fleets, reference solutions.

network      roads, turns and demand; the networks that are shipped
loaders      the same from other people's files (TNTP, SUMO, OSMnx)
paths        shortest paths under turn rules, k-th shortest routes
traffic      how vehicles move and slow each other down, in JAX
fleets       who drives where and when
references   free-flow, navigation, equilibrium and near-optimum of a fleet
sumo         routes driven in SUMO, as a check
"""
