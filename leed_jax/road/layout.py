"""Places for the nodes of a network without coordinates."""

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import shortest_path

from leed_jax.road.network import RoadNetwork


def placed(network: RoadNetwork) -> RoadNetwork:
    """The network with its nodes where travel times put them: near in time, near on the plane.

    Classical scaling of the travel times between nodes, the shorter of both directions.
    """
    # Of parallel links the fastest comes last and counts.
    order = np.argsort(-network.free_flow_time, kind="stable")
    fastest = {
        (int(network.tail[link]), int(network.head[link])): float(network.free_flow_time[link])
        for link in order
    }
    rows, columns = np.array(list(fastest)).T
    count = network.num_nodes
    links = coo_matrix((list(fastest.values()), (rows, columns)), (count, count))
    apart = shortest_path(csr_matrix(links), directed=False)
    centre = np.eye(count) - 1 / count
    values, vectors = np.linalg.eigh(-0.5 * centre @ np.square(apart) @ centre)
    places = vectors[:, -2:] * np.sqrt(np.maximum(values[-2:], 0))
    # The sign of an eigenvector is arbitrary: node 0 lies to the lower left.
    return network.replace(position=places * np.where(places[0] > 0, -1.0, 1.0), geographic=False)
