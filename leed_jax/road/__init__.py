"""The road task without reinforcement learning.

- ``network``: nodes, links, turns, demand; ``shipped``: networks that come with the package.
- ``tntp``, ``sumo_net``, ``osm``, ``fetch``: the same from other people's files.
- ``paths``: shortest paths under turn rules, k-th shortest routes.
- ``traffic``: how vehicles move and slow each other down, in JAX; ``drive``: a fleet on routes.
- ``fleets``: who drives where and when.
- ``references``: free-flow, navigation, equilibrium and near-optimum of a fleet.
- ``sumo``: routes driven in SUMO, as a check.
"""
