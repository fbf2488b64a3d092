"""flumebeam: Apache Beam transforms in which Solace queues are the transactional channel."""

from flumebeam._version import __version__
from flumebeam.errors import FlumebeamError

__all__ = ["FlumebeamError", "__version__"]
