#!/usr/bin/env bash
# A one-node Slurm on the loopback interface for the tests of `dgate submit`: slurm.sh install|start|stop, as root.
# SLURM_ROOT names a scratch folder; what uses the cluster needs SLURM_CONF=$SLURM_ROOT/slurm.conf.
set -euo pipefail
root=${SLURM_ROOT:?set SLURM_ROOT to a scratch folder}
host=$(hostname -s)
export SLURM_CONF=$root/slurm.conf

install() {
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends munge slurmctld slurmd slurm-client >/dev/null
}

start() {
  umask 022
  mkdir -p "$root"/{ctld,spool,log,munge}
  chmod 755 "$root" # mktemp -d lets nobody else in; munge wants its socket to be reached
  (umask 077 && head -c 1024 /dev/urandom >"$root/munge/key")
  cat >"$SLURM_CONF" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$root/munge/socket
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmctldPort=16817
SlurmdPort=16818
StateSaveLocation=$root/ctld
SlurmdSpoolDir=$root/spool
SlurmctldPidFile=$root/slurmctld.pid
SlurmdPidFile=$root/slurmd.pid
SlurmctldLogFile=$root/log/slurmctld.log
SlurmdLogFile=$root/log/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
MailProg=/bin/true
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=5
NodeName=$host NodeAddr=127.0.0.1 CPUs=2
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF
  munged --key-file="$root/munge/key" --socket="$root/munge/socket" --pid-file="$root/munged.pid" \
    --log-file="$root/munge/log" --seed-file="$root/munge/seed"
  slurmctld -c
  slurmd
  for _ in $(seq 150); do
    [ "$(timeout 5 sinfo -h -o %T 2>/dev/null)" = idle ] && return
    sleep 0.2
  done
  tail -n 30 "$root"/log/*.log
  return 1
}

stop() {
  for file in slurmd slurmctld munged; do
    pid=$(cat "$root/$file.pid" 2>/dev/null) && kill "$pid" 2>/dev/null || true
  done
}

case ${1:-} in
  install) install ;;
  start) start ;;
  stop) stop ;;
  *) sed -n 2,3p "$0" && exit 2 ;;
esac
