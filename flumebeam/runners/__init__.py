"""Beam's runners outside this process: their programs fetched, started and stopped, and their clusters on this machine.

Beam's own job servers are not published for every version. Where the registry lacks them they are assembled from the
newest runner artifacts that it has; :mod:`flumebeam.runners.artifacts` names the versions, and every result that was
measured on them says so. Nothing here imports Beam.
"""
