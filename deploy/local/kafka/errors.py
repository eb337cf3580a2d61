"""Why a broker cannot run here; there is one error for each thing that you can do about it.

BrokerError
  DownloadFailed      Kafka's jars cannot be downloaded: use another broker, or set a mirror
  PortTaken           another program listens on the port: stop it, or choose another port
  DataDirInUse        another instance uses this data: stop it
  DataDirForeign      the data is of another version or cluster: delete it, or choose another directory
  BrokerDidNotStart   Java ran and Kafka did not: read its log
"""

from __future__ import annotations


class BrokerError(RuntimeError):
    """There is no broker; the message says why, and what to do."""


class DownloadFailed(BrokerError):
    """Kafka's jars could not be downloaded, or are damaged."""


class PortTaken(BrokerError):
    """Another program listens on the port."""


class DataDirInUse(BrokerError):
    """Another running instance holds the data directory."""


class DataDirForeign(BrokerError):
    """The data was written by another version, or by a cluster of another size."""


class BrokerDidNotStart(BrokerError):
    """The broker ended, or did not answer in time."""
