"""How PostgreSQL shares out the memory of its pod."""

from dataclasses import dataclass

from slipway.args import Faults

MIB = 1024**2
LEAST_WORK_KIB = 1024
"""Least memory for one sort: below it they go to the disk all the time. PostgreSQL's own default is 4 MB."""
_OPERATIONS = 3
"""Sorts and hashes that one connection may do at once, as PGTune reckons."""
_MOST_MAINTENANCE = 2048 * MIB


@dataclass(frozen=True)
class PostgresMemory:
    """Settings from the memory that the pod may take at most and the connections that share it."""

    limit: int
    """Bytes."""
    connections: int

    @property
    def shared_buffers_mib(self) -> int:
        """A quarter (PostgreSQL 17, 19.4.1: "a reasonable starting value for shared_buffers is 25% of the memory")."""
        return self.limit // 4 // MIB

    @property
    def effective_cache_size_mib(self) -> int:
        """Three quarters: its buffers, and what the node keeps of its files, which counts for the pod (PGTune, "web")."""
        return self.limit * 3 // 4 // MIB

    @property
    def maintenance_work_mem_mib(self) -> int:
        """A sixteenth, 2 GiB at most (PGTune)."""
        return min(self.limit // 16, _MOST_MAINTENANCE) // MIB

    @property
    def work_mem_kib(self) -> int:
        """What is left beside the buffers, shared out to all connections with three sorts each (PGTune)."""
        return (self.limit - self.limit // 4) // max(1, self.connections * _OPERATIONS) // 1024


def check_memory(memory: PostgresMemory, told: str, faults: Faults) -> None:
    """Refuse a memory that is too little for its connections, with the sum."""
    if memory.work_mem_kib < LEAST_WORK_KIB:
        least = LEAST_WORK_KIB * 1024 * memory.connections * _OPERATIONS * 4 // 3 // MIB + 1
        most = (memory.limit - memory.limit // 4) // (LEAST_WORK_KIB * 1024 * _OPERATIONS)
        faults.add(
            "resources.limits.memory",
            f"is '{told}', which beside a quarter for buffers leaves {memory.work_mem_kib} KiB for each of {_OPERATIONS} sorts "
            f"of {memory.connections} connections; give at least '{least}Mi', or max_connections of at most {most}",
        )
