# Starts the machine in namespaces of its own and, when it has ended, takes away its cgroups: the
# one thing that the kernel does not. Lives in a session of its own, to do so also after the test.
#
#   sh -c guard.sh guard MACHINE.SH CGROUP-DIRS DISKS
unshare --mount --pid --fork --kill-child --mount-proc sh -c "$1" machine "$2" "$3"
status=$?
for group in $2; do
	tries=0
	# A process that is gone may stand in its cgroup a moment longer.
	while [ -d "$group" ] && [ $tries -lt 50 ]; do
		find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || sleep 0.1
		tries=$((tries + 1))
	done
done
exit $status
