package collector

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// disk is the answer of a healthy filesystem of 1000 blocks.
func disk(string) (unix.Statfs_t, error) {
	return unix.Statfs_t{Bsize: 65536, Frsize: 4096, Blocks: 1000, Bfree: 400, Bavail: 300, Files: 100, Ffree: 60}, nil
}

func mountinfo(t *testing.T, lines ...string) string {
	t.Helper()
	return writeProc(t, map[string]string{"self/mountinfo": strings.Join(lines, "\n") + "\n"})
}

const rootLine = "27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard"

func TestFilesystem(t *testing.T) {
	root := mountinfo(t, rootLine,
		"22 27 0:21 / /proc rw - proc proc rw",
		`30 27 8:1 / /srv/my\040disk ro - xfs /dev/sdb1 rw`,
		"31 27 0:50 / /mnt/nfs rw master:2 - nfs4 nas:/export ro,vers=4.2",
	)
	wantText(t, NewFilesystem(root, []Role{{"root", "/"}, {"moodledata", "/srv/my disk/data"}, {"tmp", "/tmp"}, {"tmp", "/var/tmp"}}, disk), `
# HELP moodle_host_filesystem_avail_bytes Space left for ordinary users.
# TYPE moodle_host_filesystem_avail_bytes gauge
moodle_host_filesystem_avail_bytes{fstype="ext4",mountpoint="/"} 1.2288e+06
moodle_host_filesystem_avail_bytes{fstype="nfs4",mountpoint="/mnt/nfs"} 1.2288e+06
moodle_host_filesystem_avail_bytes{fstype="xfs",mountpoint="/srv/my disk"} 1.2288e+06
# HELP moodle_host_filesystem_files Files (inodes) there can be; absent where there is no limit.
# TYPE moodle_host_filesystem_files gauge
moodle_host_filesystem_files{fstype="ext4",mountpoint="/"} 100
moodle_host_filesystem_files{fstype="nfs4",mountpoint="/mnt/nfs"} 100
moodle_host_filesystem_files{fstype="xfs",mountpoint="/srv/my disk"} 100
# HELP moodle_host_filesystem_files_free Files (inodes) that can still be made.
# TYPE moodle_host_filesystem_files_free gauge
moodle_host_filesystem_files_free{fstype="ext4",mountpoint="/"} 60
moodle_host_filesystem_files_free{fstype="nfs4",mountpoint="/mnt/nfs"} 60
moodle_host_filesystem_files_free{fstype="xfs",mountpoint="/srv/my disk"} 60
# HELP moodle_host_filesystem_free_bytes Space left, with what is reserved for root.
# TYPE moodle_host_filesystem_free_bytes gauge
moodle_host_filesystem_free_bytes{fstype="ext4",mountpoint="/"} 1.6384e+06
moodle_host_filesystem_free_bytes{fstype="nfs4",mountpoint="/mnt/nfs"} 1.6384e+06
moodle_host_filesystem_free_bytes{fstype="xfs",mountpoint="/srv/my disk"} 1.6384e+06
# HELP moodle_host_filesystem_readonly 1 if the filesystem is read-only, as after a disk error.
# TYPE moodle_host_filesystem_readonly gauge
moodle_host_filesystem_readonly{fstype="ext4",mountpoint="/"} 0
moodle_host_filesystem_readonly{fstype="nfs4",mountpoint="/mnt/nfs"} 1
moodle_host_filesystem_readonly{fstype="xfs",mountpoint="/srv/my disk"} 0
# HELP moodle_host_filesystem_responding 0 if the filesystem hangs or gives an error; its sizes are then absent.
# TYPE moodle_host_filesystem_responding gauge
moodle_host_filesystem_responding{fstype="ext4",mountpoint="/"} 1
moodle_host_filesystem_responding{fstype="nfs4",mountpoint="/mnt/nfs"} 1
moodle_host_filesystem_responding{fstype="xfs",mountpoint="/srv/my disk"} 1
# HELP moodle_host_filesystem_role_info What the filesystem is used for.
# TYPE moodle_host_filesystem_role_info gauge
moodle_host_filesystem_role_info{mountpoint="/",role="root"} 1
moodle_host_filesystem_role_info{mountpoint="/",role="tmp"} 1
moodle_host_filesystem_role_info{mountpoint="/srv/my disk",role="moodledata"} 1
# HELP moodle_host_filesystem_size_bytes Size of the filesystem.
# TYPE moodle_host_filesystem_size_bytes gauge
moodle_host_filesystem_size_bytes{fstype="ext4",mountpoint="/"} 4.096e+06
moodle_host_filesystem_size_bytes{fstype="nfs4",mountpoint="/mnt/nfs"} 4.096e+06
moodle_host_filesystem_size_bytes{fstype="xfs",mountpoint="/srv/my disk"} 4.096e+06
`)
}

func TestWhichMountsCount(t *testing.T) {
	for _, test := range []struct {
		name  string
		lines []string
		roles []Role
		want  []string // mountpoint,fstype
	}{
		{"pseudo filesystems", []string{
			rootLine, "2 27 0:3 / /run rw - tmpfs tmpfs rw", "3 27 0:4 / /sys rw - sysfs sysfs rw",
			"4 27 7:1 / /snap/core/1 ro - squashfs /dev/loop1 ro", "5 27 0:9 / /var/lib/docker/overlay2/x/merged rw - overlay overlay rw",
			"6 27 0:7 / /run/user/1/gvfs rw - fuse.gvfsd-fuse gvfsd-fuse rw", "7 27 0:8 / /net rw - autofs systemd-1 rw",
			"8 27 0:10 / /mnt/ssh rw - fuse.sshfs me@x: rw",
		}, nil, []string{"/,ext4", "/mnt/ssh,fuse.sshfs"}},
		{"tmpfs and overlay count with a role", []string{
			"1 0 0:50 / / rw - overlay overlay rw,lowerdir=/a:/b", "2 1 0:3 / /tmp rw - tmpfs tmpfs rw", "3 1 0:4 / /run rw - tmpfs tmpfs rw",
		}, []Role{{"root", "/"}, {"tmp", "/tmp"}}, []string{"/,overlay", "/tmp,tmpfs"}},
		{"autofs is not woken", []string{rootLine, "2 27 0:3 / /data rw - autofs systemd-1 rw"},
			[]Role{{"moodledata", "/data/moodle"}}, []string{"/,ext4"}},
		{"mounted automount", []string{rootLine, "2 27 0:3 / /data rw - autofs systemd-1 rw", "3 2 0:4 / /data rw - nfs4 nas:/x rw"},
			[]Role{{"moodledata", "/data/moodle"}}, []string{"/,ext4", "/data,nfs4"}},
		{"last mount on a directory wins", []string{rootLine, "2 27 8:1 / /data rw - ext4 /dev/sda1 rw", "3 2 8:2 / /data rw - ext4 /dev/sdb1 rw"},
			nil, []string{"/,ext4", "/data,ext4"}},
		{"stacked, listed the other way round", []string{rootLine, "3 2 8:2 / /data rw - xfs /dev/sdb1 rw", "2 27 8:1 / /data rw - ext4 /dev/sda1 rw"},
			nil, []string{"/,ext4", "/data,xfs"}},
		{"hidden by a mount above", []string{rootLine, "2 27 8:1 / /home/a/b rw - ext4 /dev/sda1 rw", "3 27 8:2 / /home/a rw - xfs /dev/sdb1 rw"},
			nil, []string{"/,ext4", "/home/a,xfs"}},
		{"hidden with its children", []string{rootLine, "2 27 8:1 / /a rw - ext4 /dev/sda1 rw", "3 2 8:2 / /a/b rw - ext4 /dev/sdb1 rw",
			"4 2 8:3 / /a rw - xfs /dev/sdc1 rw", "5 4 8:4 / /a/b rw - xfs /dev/sdd1 rw"}, nil, []string{"/,ext4", "/a,xfs", "/a/b,xfs"}},
		{"overmounted root", []string{rootLine, "2 27 8:9 / / rw - xfs /dev/sdz rw", "3 2 8:1 / /data rw - ext4 /dev/sda1 rw"},
			nil, []string{"/,xfs", "/data,ext4"}},
		{"parents that are not listed", []string{"27 1 8:0 / / rw - ext4 /dev/sda rw", "2 99 8:1 / /a rw - ext4 /dev/sda1 rw", "3 99 8:2 / /a rw - xfs /dev/sda2 rw"},
			nil, []string{"/,ext4", "/a,xfs"}},
		{"bind mounts of a filesystem that is there", []string{
			rootLine, "2 27 254:0 /var/lib/x /var/lib/x rw - ext4 /dev/vda rw", "3 27 8:1 /sub /srv/long rw - ext4 /dev/sda1 rw", "4 27 8:1 / /data rw - ext4 /dev/sda1 rw",
		}, nil, []string{"/,ext4", "/data,ext4"}},
		{"bind mount with a role", []string{rootLine, "3 27 8:1 /sub /var/moodledata rw - ext4 /dev/sda1 rw", "4 27 8:1 / /data rw - ext4 /dev/sda1 rw"},
			[]Role{{"moodledata", "/var/moodledata"}}, []string{"/,ext4", "/var/moodledata,ext4"}},
		{"escapes", []string{rootLine, `2 27 8:1 / /a\040b\011c\134d\043e rw - ext4 /dev/sda1 rw`, `3 27 8:2 / /a\012b rw - ext4 /dev/sda2 rw`},
			nil, []string{"/,ext4", "/a b\tc\\d#e,ext4", "/a\nb,ext4"}},
		{"not UTF-8, and alike when written out", []string{rootLine, "2 27 8:1 / /x\xff rw - ext4 /dev/sda1 rw", `3 27 8:2 / /x\134xff rw - ext4 /dev/sda2 rw`},
			nil, []string{"/,ext4", `/x\xff,ext4`}},
		{"empty source", []string{rootLine, "2 27 8:1 / /a rw - xfs  rw"}, nil, []string{"/,ext4", "/a,xfs"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := seriesOf(t, NewFilesystem(mountinfo(t, test.lines...), test.roles, disk))
			if err != nil {
				t.Error(err)
			}
			var mounts []string
			for series := range got {
				if rest, found := strings.CutPrefix(series, "host_filesystem_responding{"); found {
					fstype, point, _ := strings.Cut(strings.TrimSuffix(rest, "}"), ",")
					mounts = append(mounts, point+","+fstype)
				}
			}
			slices.Sort(mounts)
			slices.Sort(test.want)
			if !slices.Equal(mounts, test.want) {
				t.Errorf("got %q, want %q", mounts, test.want)
			}
		})
	}
}

func TestRolesGoToTheLongestMountpoint(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "disk", "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(dir, "disk", "data"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	root := mountinfo(t, rootLine, "2 27 8:1 / "+dir+"/disk rw - xfs /dev/sda1 rw", "3 27 8:2 / "+dir+"/dis rw - xfs /dev/sda2 rw")
	got, err := seriesOf(t, NewFilesystem(root, []Role{
		{"code", dir + "/disk/code"},              // not there yet
		{"moodledata", dir + "/link/./moodle/.."}, // through a link, below it not there
		{"backup", dir + "/disk2"},                // only looks like /disk
		{"database", dir + "/disk"},
	}, disk))
	if err != nil {
		t.Fatal(err)
	}
	wantValues(t, got, map[string]float64{
		"host_filesystem_role_info{" + dir + "/disk,code}": 1, "host_filesystem_role_info{" + dir + "/disk,moodledata}": 1,
		"host_filesystem_role_info{" + dir + "/disk,database}": 1, "host_filesystem_role_info{/,backup}": 1,
	})
}

func TestFilesystemErrors(t *testing.T) {
	root := mountinfo(t, rootLine, "2 27 8:1 / /stale rw - nfs4 nas:/x rw", "3 27 0:9 / /home/x/mine rw - fuse.rclone r: rw", "4 27 8:4 / /closed rw - ext4 /dev/sda4 rw",
		"5 27 0:10 / /gone rw - fuse.x x rw", "rubbish")
	got, err := seriesOf(t, NewFilesystem(root, []Role{{"moodledata", "/closed"}, {"backup", "/stale/b"}}, func(path string) (unix.Statfs_t, error) {
		switch path {
		case "/stale":
			return unix.Statfs_t{}, unix.ESTALE
		case "/gone":
			return unix.Statfs_t{}, unix.ENOTCONN
		case "/home/x/mine", "/closed":
			return unix.Statfs_t{}, unix.EACCES
		}
		return disk(path)
	}))
	for _, want := range []error{unix.ESTALE, unix.EACCES} {
		if !errors.Is(err, want) {
			t.Errorf("error %v does not tell of %v", err, want)
		}
	}
	if errors.Is(err, unix.ENOTCONN) {
		t.Errorf("a mount without a role breaks the collector: %v", err)
	}
	if err == nil || !strings.Contains(err.Error(), "rubbish") {
		t.Errorf("error %v does not name the broken line", err)
	}
	wantValues(t, got, map[string]float64{
		"host_filesystem_responding{nfs4,/stale}": 0, "host_filesystem_responding{ext4,/closed}": 0, "host_filesystem_responding{fuse.x,/gone}": 0,
		"host_filesystem_responding{ext4,/}": 1, "host_filesystem_size_bytes{ext4,/}": 4096000,
	})
	for _, series := range []string{"host_filesystem_responding{fuse.rclone,/home/x/mine}", "host_filesystem_size_bytes{nfs4,/stale}"} {
		if _, there := got[series]; there {
			t.Errorf("%s should be absent", series)
		}
	}
}

func TestUnlimitedFilesAndInterruptedCall(t *testing.T) {
	var calls atomic.Int32
	got, err := seriesOf(t, NewFilesystem(mountinfo(t, "27 1 0:30 /@ / rw - btrfs /dev/vda rw"), nil, func(string) (unix.Statfs_t, error) {
		if calls.Add(1) == 1 {
			return unix.Statfs_t{}, unix.EINTR
		}
		return unix.Statfs_t{Bsize: 4096, Blocks: 10}, nil
	}))
	if _, there := got["host_filesystem_files{btrfs,/}"]; err != nil || there || got["host_filesystem_size_bytes{btrfs,/}"] != 40960 {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestHungMountIsAskedOnceAndTheOthersStay(t *testing.T) {
	var asked atomic.Int32
	release := make(chan struct{})
	f := NewFilesystem(mountinfo(t, rootLine, "2 27 8:1 / /hung rw - nfs4 nas:/x rw"), []Role{{"moodledata", "/hung/data"}},
		func(path string) (unix.Statfs_t, error) {
			if path == "/hung" {
				asked.Add(1)
				<-release
			}
			return disk(path)
		})
	for range 50 {
		got, err := seriesOf(t, f)
		if err != nil {
			t.Fatal(err)
		}
		wantValues(t, got, map[string]float64{
			"host_filesystem_responding{nfs4,/hung}": 0, "host_filesystem_readonly{nfs4,/hung}": 0,
			"host_filesystem_role_info{/hung,moodledata}": 1,
			"host_filesystem_responding{ext4,/}":          1, "host_filesystem_size_bytes{ext4,/}": 4096000,
		})
		if _, there := got["host_filesystem_size_bytes{nfs4,/hung}"]; there {
			t.Fatal("a hung mount has a size")
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the hung mount was asked %d times", n)
	}
	close(release)
	waitFor(t, "the mount to answer again", func() bool {
		got, _ := seriesOf(t, f)
		return got["host_filesystem_responding{nfs4,/hung}"] == 1
	})
}

func TestRealFilesystems(t *testing.T) {
	var want unix.Statfs_t
	if err := unix.Statfs("/", &want); err != nil {
		t.Fatal(err)
	}
	got, err := seriesOf(t, NewFilesystem("/proc", []Role{{"root", "/"}}, Statfs))
	if err != nil {
		t.Fatal(err)
	}
	wantValues(t, got, map[string]float64{"host_filesystem_role_info{/,root}": 1})
	for series, value := range got {
		if strings.HasPrefix(series, "host_filesystem_size_bytes{") && strings.HasSuffix(series, ",/}") && value == float64(want.Blocks)*float64(want.Frsize) {
			return
		}
	}
	t.Errorf("no size of / in %v", got)
}

func FuzzParseMount(f *testing.F) {
	f.Add(rootLine)
	f.Add(`36 35 98:0 /mnt1 /mnt\0402 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`)
	f.Fuzz(func(t *testing.T, line string) {
		m, ok := parseMount(line)
		if ok {
			_ = visible([]mount{m, m, {id: 1, parent: 2, point: "/"}, {id: 2, parent: 1, point: "/"}})
		}
	})
}
