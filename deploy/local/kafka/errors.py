"""What can keep a broker from running here, each named by what is to be done about it.

BrokerError
  DownloadFailed      Kafka's jars cannot be had: use a broker that is there, or name a mirror
  PortTaken           something listens there: stop it, or name another port
  DataDirInUse        another instance runs on this data: stop it
  DataDirForeign      the data is of another version or shape: forget it, or name another directory
  BrokerDidNotStart   Java ran and Kafka did not: its log says why
"""

from __future__ import annotations


class BrokerError(RuntimeError):
    """Say why there is no broker, and the way out."""


class DownloadFailed(BrokerError):
    """Kafka's jars could not be downloaded, or came damaged."""


class PortTaken(BrokerError):
    """Something else listens on the port."""


class DataDirInUse(BrokerError):
    """Another running instance holds the data directory."""


class DataDirForeign(BrokerError):
    """The data was written by another version, or by a cluster of another shape."""


class BrokerDidNotStart(BrokerError):
    """The broker ended, or did not answer in time."""
