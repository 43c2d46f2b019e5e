package statuspage

import (
	"fmt"
	"slices"
	"strings"
)

// cpu is shown and not judged: how busy the CPUs are takes two looks, which Prometheus has and a page has not.
func cpu(v *view) []Line {
	cpus, known := v.get("host_cpus")
	load, measured := v.get("host_load5")
	if !known || !measured {
		return nil
	}
	return []Line{{Level: Info, Subject: "CPU", Value: fmt.Sprintf("load %.2f over 5 min on %s", load, count(cpus, "CPU"))}}
}

func memory(v *view) []Line {
	total, known := v.get("host_memory_total_bytes")
	available, measured := v.get("host_memory_available_bytes")
	if !known || !measured || total <= 0 {
		return nil
	}
	value := fmt.Sprintf("%s available of %s", size(available), size(total))
	limit, set := v.threshold("memory_available_ratio")
	switch {
	case !set:
		return []Line{noThreshold("memory", value, "memory_available_ratio")}
	case available/total < limit:
		return []Line{{
			Level: Warning, Subject: "memory", Value: value, Runbook: "MoodleHostMemoryLow",
			Advice: "When memory runs out the kernel kills programs, often the database. PHP-FPM's `pm.max_children` times the size of a worker must fit beside the database's buffer pool.",
		}}
	}
	return []Line{{Level: OK, Subject: "memory", Value: value}}
}

func filesystems(v *view) []Line {
	var lines []Line
	for _, mount := range v.values("mountpoint", "host_filesystem_responding", "host_filesystem_size_bytes") {
		var roles []string
		for _, role := range v.all("host_filesystem_role_info", "mountpoint", mount) {
			roles = append(roles, role.labels["role"])
		}
		slices.Sort(roles)
		line := filesystem(v, mount, len(roles) > 0)
		if len(roles) > 0 {
			line.Value += " (" + strings.Join(roles, ", ") + ")"
		}
		lines = append(lines, line)
	}
	return lines
}

const (
	lowRunbook      = "MoodleDiskSpaceLow"
	criticalRunbook = "MoodleDiskSpaceCritical"
)

// filesystem agrees with MoodleDiskSpaceLow and MoodleDiskSpaceCritical; what hangs or became read-only is in trouble
// at any size.
func filesystem(v *view, mount string, used bool) Line {
	responding, asked := v.get("host_filesystem_responding", "mountpoint", mount)
	readonly, known := v.get("host_filesystem_readonly", "mountpoint", mount)
	switch {
	case !asked:
		return missing(mount, "host_filesystem_responding")
	case responding == 0 && used:
		return Line{Level: Critical, Subject: mount, Value: "does not answer", Runbook: "MoodleDiskNotResponding", Advice: "Whatever touches it hangs: the site, its database or its backups. Look at the disk or the network share: `findmnt " + shellWord(mount) + "`, `dmesg | tail`."}
	case responding == 0:
		return Line{Level: Warning, Subject: mount, Value: "does not answer", Advice: "Whatever touches it hangs, but Moodle does not use it. Look at the disk or the network share: `findmnt " + shellWord(mount) + "`, `dmesg | tail`."}
	case !known:
		return missing(mount, "host_filesystem_readonly")
	case readonly == 1 && used:
		return Line{Level: Critical, Subject: mount, Value: "read-only", Runbook: "MoodleDiskReadOnly", Advice: "Nothing can be written on it; the kernel does this after disk errors. Look at `dmesg | tail` and at the disk before you remount it."}
	case readonly == 1:
		return Line{Level: Info, Subject: mount, Value: "read-only"}
	}
	return space(v, mount)
}

func space(v *view, mount string) Line {
	total, known := v.get("host_filesystem_size_bytes", "mountpoint", mount)
	free, measured := v.get("host_filesystem_avail_bytes", "mountpoint", mount)
	if !known || !measured {
		return missing(mount, "host_filesystem_avail_bytes")
	}
	if total <= 0 {
		return Line{Level: Info, Subject: mount, Value: "has no size"}
	}
	value := fmt.Sprintf("%s free of %s, %s", size(free), size(total), percent(free/total))
	low, set := v.threshold("disk_free_ratio_warning")
	lowest, _ := v.threshold("disk_free_ratio_critical") // without it a shortage is still a warning
	switch {
	case !set:
		return noThreshold(mount, value, "disk_free_ratio_warning")
	case free/total < low:
		level, runbook := Warning, lowRunbook
		if free/total < lowest {
			level, runbook = Critical, criticalRunbook
		}
		return Line{
			Level: level, Subject: mount, Value: value, Runbook: runbook,
			Advice: "When it is full, whatever lies on it stops. Find what grew with `du -xh --max-depth=2 " + shellWord(mount) + " | sort -h | tail -20`; the runbook says what may go.",
		}
	}
	return inodes(v, mount, value)
}

// inodes can run out long before the space does: a cache in files is millions of small ones.
func inodes(v *view, mount, value string) Line {
	const few = 0.05
	most, bounded := v.get("host_filesystem_files", "mountpoint", mount)
	free, measured := v.get("host_filesystem_files_free", "mountpoint", mount)
	if bounded && measured && most > 0 && free/most < few {
		return Line{
			Level: Warning, Subject: mount, Value: fmt.Sprintf("%s, but only %s of the inodes", value, percent(free/most)), Runbook: "MoodleDiskInodesLow",
			Advice: "Without inodes no file can be made, however much space is free. Sessions, caches and temp directories with millions of files are the usual cause: `du --inodes -x --max-depth=2 " + shellWord(mount) + " | sort -n | tail`.",
		}
	}
	return Line{Level: OK, Subject: mount, Value: value}
}
