"""A SLURM of two nodes on this machine, with everything it has in one folder; needs root, slurm-wlm and munge.

Node n1 has a mount namespace of its own, in which `hidden` is an empty folder: what another machine does not see.
"""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

NEEDED = ("munged", "mungekey", "slurmctld", "slurmd", "sbatch", "unshare")
PORTS = range(17310, 17313)
"""Of the controller and the two nodes."""
NODES = ("n0", "n1")

CONFIGURATION = """\
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/ctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/ctld.log
SlurmdLogFile={folder}/slurmd-%n.log
MpiDefault=none
ReturnToService=2
KillWait=30
SchedulerParameters=sched_interval=2,batch_sched_delay=0
NodeName=n[0-1] NodeHostname={host} NodeAddr=127.0.0.1 Port=[{ports[1]}-{ports[2]}] CPUs=1 RealMemory=4000
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@dataclass
class Slurm:
    """`environment` shows the commands of SLURM this cluster."""

    folder: Path
    hidden: Path
    environment: dict[str, str]

    def __call__(self, *command: str) -> str:
        """Run sinfo, squeue and the like; what they say."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.strip()

    def jobs(self) -> dict[str, str]:
        """The state of every job that waits or runs, by its number, such as 7_0."""
        return dict(line.split() for line in self("squeue", "-h", "-r", "-o", "%i %T").splitlines())

    def logs(self) -> str:
        return "\n".join(path.read_text(errors="replace")[-4000:] for path in sorted(self.folder.glob("*.log")))


def missing() -> str | None:
    """Why there can be no cluster here."""
    absent = [name for name in NEEDED if shutil.which(name) is None]
    if absent:
        return f"{', '.join(absent)} not installed (make cluster installs them)"
    return None if os.getuid() == 0 else "SLURM's daemons need root"


@contextmanager
def running(folder: Path) -> Iterator[Slurm]:
    """Start it, and wait until both nodes are idle."""
    hidden = folder / "hidden"
    for name in ("munge", "state", "hidden"):
        (folder / name).mkdir(parents=True)
    configuration = folder / "slurm.conf"
    host = socket.gethostname().partition(".")[0]
    configuration.write_text(CONFIGURATION.format(host=host, folder=folder, ports=PORTS))
    environment = {**os.environ, "SLURM_CONF": str(configuration)}
    munge = folder / "munge"
    subprocess.run(["mungekey", "-c", "-k", str(munge / "key")], check=True)
    daemons = [
        ["munged", "--foreground", "--force", f"--key-file={munge}/key", f"--socket={munge}/socket",
         f"--pid-file={munge}/pid", f"--log-file={munge}/log", f"--seed-file={munge}/seed"],
        ["slurmctld", "-D"],
        ["slurmd", "-D", "-N", "n0"],
        ["unshare", "--mount", "sh", "-c", f"mount -t tmpfs none '{hidden}' && exec slurmd -D -N n1"],
    ]  # fmt: skip
    slurm = Slurm(folder, hidden, environment)
    with ExitStack() as stack:
        for command in daemons:
            log = stack.enter_context((folder / f"{command[0]}.out.log").open("ab"))
            stack.enter_context(_ended(subprocess.Popen(command, env=environment, stdout=log, stderr=log)))
            if command[0] == "munged":
                _until(lambda: (munge / "socket").exists(), slurm, "munge does not answer")
        _until(lambda: _idle(slurm) == len(NODES), slurm, "the nodes are not idle")
        try:
            yield slurm
        finally:
            subprocess.run(["scancel", "--me"], env=environment, check=False)
            _until(lambda: not slurm.jobs(), slurm, "jobs are left")


@contextmanager
def _ended(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _idle(slurm: Slurm) -> int:
    done = subprocess.run(
        ["sinfo", "-h", "-N", "-t", "idle", "-o", "%N"], env=slurm.environment, capture_output=True, text=True
    )
    return len(done.stdout.split())


def _until(true: Callable[[], bool], slurm: Slurm, otherwise: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError(f"{otherwise}:\n{slurm.logs()}")
        time.sleep(0.2)
