"""A true SLURM of two nodes on this machine's loopback: started as root, without systemd.

Each node offers cores and one GPU slot. The slots have no device behind them: SLURM counts them,
and tells jobs which they have, as it does with true ones.
"""

import fcntl
import os
import re
import shutil
import socket
import subprocess
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel")
NODES = ("overtile1", "overtile2")
"""No other SLURM has nodes of these names: processes are told by them."""

SYSTEM_FILE = Path("/etc/slurm/slurm.conf")
"""Snakemake's job steps remove SLURM_CONF from their environment: only this place is left."""

SLURM_CONF = """\
ClusterName=overtile
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={root}/munge.sock
CredType=cred/munge
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd.%n.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdLogFile={root}/slurmd.%n.log
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool.%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
EnforcePartLimits=ALL
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2,sched_min_interval=0
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
MinJobAge=3600
KillWait=2
OverTimeLimit=0
InactiveLimit=0
SlurmctldTimeout=30
SlurmdTimeout=30
MessageTimeout=10
MaxJobCount=20000
GresTypes=gpu
{nodes}
PartitionName=cpu Nodes={names} Default=YES MaxTime=2-00:00:00 State=UP
PartitionName=gpu Nodes={names} MaxTime=2-00:00:00 State=UP
"""


def missing_programs() -> list[str]:
    """Which of SLURM's programs are not installed."""
    return [program for program in PROGRAMS if shutil.which(program) is None]


def free_ports(count: int) -> int:
    """The first of so many ports in a row that nobody listens on."""
    for first in range(16800, 30000, count):
        with suppress(OSError):
            for port in range(first, first + count):
                with socket.socket() as listener:
                    listener.bind(("127.0.0.1", port))
            return first
    raise RuntimeError("no free ports in 16800 to 30000")


def until(is_so, seconds: float, what: str):
    """Wait until a condition holds; return what it gave. Raises AssertionError if it never does."""
    end = time.monotonic() + seconds
    while True:
        found = is_so()
        if found:
            return found
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.05)


def call(*command: str) -> str:
    """Run one of SLURM's programs; return what it prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout


@dataclass
class Cluster:
    """A running cluster. root: an empty folder for all its files. cpus, memory_mb: of each node."""

    root: Path
    cpus: int = 8
    memory_mb: int = 32000

    def start(self) -> None:
        """Start munge, the controller and both nodes; return when the nodes are idle."""
        self._write_files()
        key, socket_file = self.root / "munge.key", self.root / "munge.sock"
        subprocess.run(
            ["munged", f"--key-file={key}", f"--socket={socket_file}", "--force"]
            + [f"--pid-file={self.root}/munged.pid", f"--log-file={self.root}/munge.log"]
            + [f"--seed-file={self.root}/munge.seed", "--num-threads=2"],
            check=True,
            capture_output=True,
        )
        self.start_controller()
        for node in NODES:
            self.start_node(node)
        until(lambda: set(self.nodes().values()) == {"idle"}, 30, "both nodes idle")

    def stop(self) -> None:
        """End all jobs, and every process that was started, by the ids they wrote down."""
        with suppress(subprocess.SubprocessError):
            call("scancel", "--quiet", "--user=root")
            until(lambda: not self.jobs("RUNNING,COMPLETING,PENDING"), 20, "no job left")
        for name in (*(f"slurmd.{node}" for node in NODES), "slurmctld", "munged"):
            self._end(name)

    def stop_controller(self) -> None:
        """End the controller: jobs go on, and nobody answers."""
        self._end("slurmctld")

    def start_controller(self) -> None:
        """Start the controller; it knows its jobs from before."""
        self._daemon("slurmctld")

    def start_node(self, node: str) -> None:
        """Start one node."""
        self._daemon("slurmd", "-N", node)

    def kill_node(self, node: str) -> None:
        """End one node's daemon and all of the jobs on it at once, as a power cut would."""
        self._end(f"slurmd.{node}")
        tasks = {pid for pid in map(int, _numbered("/proc")) if _is_on(node, pid)}
        keepers = {_parent(pid) for pid in tasks} - tasks
        for pid in [*(pid for pid in keepers if _name(pid) == "slurmstepd"), *tasks]:
            with suppress(ProcessLookupError):
                os.kill(pid, 9)

    def nodes(self) -> dict[str, str]:
        """The state of each node."""
        with suppress(subprocess.SubprocessError):
            lines = call(
                "sinfo", "--noheader", "--Node", "--partition=cpu", "--format=%N %T"
            ).split("\n")
            return dict(line.split() for line in lines if line)
        return {}

    def jobs(self, states: str = "all") -> list[dict[str, str]]:
        """Jobs in some states, also ended ones, oldest first; values as squeue writes them."""
        keys = {"id": "%A", "name": "%j", "state": "%T", "node": "%N", "memory": "%m"}
        keys |= {"limit": "%l", "comment": "%k"}
        text = call(
            "squeue", f"--states={states}", "--noheader", f"--format={'|'.join(keys.values())}"
        )
        found = [dict(zip(keys, line.split("|"), strict=True)) for line in text.splitlines()]
        return sorted(found, key=lambda job: int(job["id"]))

    def _daemon(self, *command: str) -> None:
        log = open(self.root / "daemons.log", "a")  # noqa: SIM115 - handed to the daemon
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        log.close()

    def _end(self, name: str) -> None:
        file = self.root / f"{name}.pid"
        with suppress(FileNotFoundError, ProcessLookupError, ValueError):
            process = int(file.read_text())
            os.kill(process, 9 if name.startswith("slurmd.") else 15)
            until(lambda: not _is_running(process), 15, f"{name} ends")
        file.unlink(missing_ok=True)

    def _write_files(self) -> None:
        for folder in ("state", "dev", *(f"spool.{node}" for node in NODES)):
            (self.root / folder).mkdir(parents=True)
        key = self.root / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o400)
        port = free_ports(1 + len(NODES))
        lines, slots = [], ["AutoDetect=off"]
        for number, node in enumerate(NODES):
            slot = self.root / "dev" / f"gpu{number}"
            with suppress(PermissionError):
                os.mknod(slot, 0o20666, os.makedev(1, 3))
            if not slot.exists():
                slot.symlink_to("/dev/null")
            slots.append(f"NodeName={node} Name=gpu File={slot}")
            lines.append(
                f"NodeName={node} NodeHostname=localhost NodeAddr=127.0.0.1 "
                f"Port={port + 1 + number} CPUs={self.cpus} RealMemory={self.memory_mb} Gres=gpu:1"
            )
        text = SLURM_CONF.format(
            root=self.root, port=port, nodes="\n".join(lines), names=",".join(NODES)
        )
        (self.root / "slurm.conf").write_text(text)
        (self.root / "gres.conf").write_text("\n".join(slots) + "\n")
        (self.root / "cgroup.conf").write_text(
            "CgroupAutomount=no\nConstrainCores=no\nConstrainRAMSpace=no\nConstrainDevices=no\n"
        )


def _is_running(process: int) -> bool:
    with suppress(OSError):
        return re.search(r"^State:\s+Z", Path(f"/proc/{process}/status").read_text(), re.M) is None
    return False


def _numbered(folder: str) -> list[str]:
    return [name for name in os.listdir(folder) if name.isdigit()]


def _is_on(node: str, pid: int) -> bool:
    """Whether a process is of a job on a node."""
    with suppress(OSError):
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        return f"SLURMD_NODENAME={node}".encode() in variables
    return False


def _stat(pid: int) -> tuple[str, int]:
    """Name and parent of a process."""
    name, rest = Path(f"/proc/{pid}/stat").read_text().split("(", 1)[1].rsplit(")", 1)
    return name, int(rest.split()[1])


def _name(pid: int) -> str:
    with suppress(OSError):
        return _stat(pid)[0]
    return ""


def _parent(pid: int) -> int:
    with suppress(OSError):
        return _stat(pid)[1]
    return 0


def clear_system_file(path: Path) -> str | None:
    """Take away a link that stands where the cluster's file must be; return where it led.

    A link to /dev/null or to nothing is to be put back; one to a file of these tests, left by
    tests that were killed, is not: None. Raises RuntimeError if a SLURM of this machine is there.
    """
    if not os.path.lexists(path):
        return None
    target = os.readlink(path) if path.is_symlink() else ""
    stale = target and path.is_file() and "ClusterName=overtile\n" in path.read_text()
    unused = target and (not path.exists() or path.resolve() == Path("/dev/null"))
    if not (stale or unused):
        raise RuntimeError(f"{path} is there: this machine has a SLURM of its own")
    path.unlink()
    return None if stale else target


@contextmanager
def running_cluster(root: Path):
    """A cluster that `sbatch` and all others find by themselves, stopped at the end.

    One at a time on a machine: another process waits. What stood before is put back.
    """
    before = os.environ.get("SLURM_CONF")
    SYSTEM_FILE.parent.mkdir(exist_ok=True)
    with open(SYSTEM_FILE.with_name("overtile-tests.lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        target = clear_system_file(SYSTEM_FILE)
        SYSTEM_FILE.symlink_to(root / "slurm.conf")
        os.environ["SLURM_CONF"] = str(root / "slurm.conf")
        cluster = Cluster(root)
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()
            SYSTEM_FILE.unlink(missing_ok=True)
            if target is not None:
                SYSTEM_FILE.symlink_to(target)
            os.environ.pop("SLURM_CONF")
            if before is not None:
                os.environ["SLURM_CONF"] = before
