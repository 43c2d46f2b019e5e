package host

import (
	"encoding/json"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// said runs an ordinary program and returns what it wrote.
func said(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), program, args...).Output()
	if err != nil {
		t.Fatalf("%s %q: %v", program, args, err)
	}
	return strings.TrimSpace(string(out))
}

func number(t *testing.T, text string) float64 {
	t.Helper()
	value, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	must(t, err)
	return value
}

// sql asks the server by its own client, as its administrator.
func (h *host) sql(t *testing.T, query string) string {
	t.Helper()
	return said(t, "mariadb", "--no-defaults", "--socket="+h.db.Socket, "--user="+h.db.RootUser(), "-N", "-B", "-e", query)
}

// near checks a value that goes on changing.
func (p page) near(t *testing.T, want, slack float64, name string, labels ...string) {
	t.Helper()
	if got, err := p.value(name, labels...); err != nil {
		t.Error(err)
	} else if math.Abs(got-want) > slack {
		t.Errorf("moodle_%s%q is %v, want %v, give or take %v", name, labels, got, want, slack)
	}
}

// Each question is put as the plain sentence of the contract says it, not as the collector puts it.
func testSites(t *testing.T, i *installation, p page) {
	for _, site := range []*stand.Site{i.lms, i.campus} {
		table := func(name string) string { return "`" + site.Database + "`." + site.Prefix + name }
		ask := func(query string) float64 { return number(t, i.sql(t, query)) }
		p.want(t, ask("SELECT value FROM "+table("config_plugins")+" WHERE plugin = 'tool_task' AND name = 'lastcronstart'"),
			"cron_last_start_timestamp_seconds", "site", site.Name)
		p.want(t, ask("SELECT (SELECT COUNT(*) FROM "+table("task_scheduled")+" WHERE disabled = 0 AND faildelay > 0) + "+
			"(SELECT COUNT(*) FROM "+table("task_adhoc")+" WHERE faildelay > 0)"), "tasks_failing", "site", site.Name)
		p.near(t, ask("SELECT COUNT(*) FROM "+table("task_scheduled")+" WHERE disabled = 0 AND lastruntime > 0 AND nextruntime + 600 < UNIX_TIMESTAMP()"),
			1, "tasks_overdue", "site", site.Name)
		p.want(t, ask("SELECT COUNT(*) FROM "+table("task_adhoc")+" WHERE nextruntime <= UNIX_TIMESTAMP() AND timestarted IS NULL"),
			"task_adhoc_queued", "site", site.Name)
		if queued, _ := p.value("task_adhoc_queued", "site", site.Name); queued > 0 {
			p.near(t, ask("SELECT UNIX_TIMESTAMP() - MIN(nextruntime) FROM "+table("task_adhoc")), 30, "task_adhoc_oldest_age_seconds", "site", site.Name)
		}
		sizes := ask("SELECT SUM(data_length + index_length) FROM information_schema.tables WHERE table_schema = '" + site.Database + "'")
		p.near(t, sizes, sizes/5, "database_schema_bytes", "site", site.Name)
		facts, err := os.Stat(filepath.Join(i.state, "facts", site.Name+".json"))
		must(t, err)
		p.near(t, float64(facts.ModTime().Unix()), 60, "probe_facts_timestamp_seconds", "site", site.Name)
		p.want(t, 1, "site_info", "site", site.Name, "wwwroot", site.WWWRoot, "release", site.Release, "version", site.Version, "branch", site.Branch)
	}
	p.want(t, 240, "task_fail_delay_seconds", "site", "lms", "task", `\core\task\session_cleanup_task`)
}

// ownStatus are the server's own counters.
func (h *host) ownStatus(t *testing.T) map[string]float64 {
	t.Helper()
	status := map[string]float64{"now": float64(time.Now().Unix())}
	for line := range strings.Lines(h.sql(t, "SHOW GLOBAL STATUS")) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "\t")
		if n, err := strconv.ParseFloat(value, 64); err == nil {
			status[strings.ToLower(name)] = n
		}
	}
	return status
}

func testDatabase(t *testing.T, h *host, p page, before, after map[string]float64) {
	servers := []string{h.db.Socket, "127.0.0.1:" + strconv.Itoa(h.db.Port)}
	for _, server := range servers {
		for name, variable := range map[string]string{
			"connections_total": "connections", "questions_total": "questions", "aborted_connects_total": "aborted_connects",
			"slow_queries_total": "slow_queries", "innodb_buffer_pool_read_requests_total": "innodb_buffer_pool_read_requests",
			"innodb_buffer_pool_reads_total": "innodb_buffer_pool_reads",
		} {
			got, err := p.value("database_"+name, "server", server)
			if err != nil || got < before[variable] || got > after[variable] {
				t.Errorf("%s of %s is %v (%v), the server said %v before and %v after", name, server, got, err, before[variable], after[variable])
			}
		}
		p.want(t, number(t, h.sql(t, "SELECT @@max_connections")), "database_max_connections", "server", server)
		p.want(t, number(t, h.sql(t, "SELECT @@innodb_buffer_pool_size")), "database_innodb_buffer_pool_bytes", "server", server)
		p.near(t, after["now"]-after["uptime"], 2, "database_start_time_seconds", "server", server)
		p.want(t, 1, "database_info", "server", server, "version", h.sql(t, "SELECT VERSION()"))
	}
}

func testMachine(t *testing.T, p page) {
	memory := map[string]float64{}
	for line := range strings.Lines(said(t, "cat", "/proc/meminfo")) {
		fields := strings.Fields(line)
		memory[strings.TrimSuffix(fields[0], ":")] = number(t, fields[1]) * 1024
	}
	p.want(t, memory["MemTotal"], "host_memory_total_bytes")
	p.want(t, memory["SwapTotal"], "host_swap_total_bytes")
	p.near(t, memory["MemAvailable"], memory["MemTotal"]/5, "host_memory_available_bytes")
	p.want(t, number(t, said(t, "nproc", "--all")), "host_cpus")
	up, err := time.ParseInLocation(time.DateTime, said(t, "uptime", "-s"), time.Local)
	must(t, err)
	p.near(t, float64(up.Unix()), 2, "host_boot_time_seconds")
	// %S unit, %b blocks, %a free to users, %c files
	disk := strings.Fields(said(t, "stat", "-f", "-c", "%S %b %a %c", "/"))
	unit, size := number(t, disk[0]), number(t, disk[0])*number(t, disk[1])
	p.want(t, size, "host_filesystem_size_bytes", "mountpoint", "/")
	p.near(t, unit*number(t, disk[2]), size/20, "host_filesystem_avail_bytes", "mountpoint", "/")
	if files := number(t, disk[3]); files > 0 {
		p.want(t, files, "host_filesystem_files", "mountpoint", "/")
	}
	p.want(t, 1, "host_filesystem_role_info", "mountpoint", "/", "role", "root")
}

func testCertificates(t *testing.T, h *host, p page) {
	date := func(field string, args ...string) float64 {
		text := said(t, "openssl", append([]string{"x509", "-noout", "-dateopt", "iso_8601", "-" + field}, args...)...)
		_, text, _ = strings.Cut(text, "=")
		moment, err := time.Parse("2006-01-02 15:04:05Z", text)
		must(t, err)
		return float64(moment.Unix())
	}
	for n, web := range h.webs {
		end := date("enddate", "-in", web.CertificateFile)
		p.want(t, end, "certificate_not_after_timestamp_seconds", "source", "endpoint", "target", web.Address)
		p.want(t, date("startdate", "-in", web.CertificateFile), "certificate_not_before_timestamp_seconds", "source", "endpoint", "target", web.Address)
		if n == 0 {
			p.want(t, end, "certificate_not_after_timestamp_seconds", "source", "file", "target", web.CertificateFile)
		}
		p.near(t, math.Floor((end-float64(time.Now().Unix()))/86400), 0, "certificate_days_left", "source", "endpoint", "target", web.Address)
	}
}

func testBackups(t *testing.T, i *installation, p page) {
	for _, site := range []*stand.Site{i.lms, i.campus} {
		root := filepath.Join(i.backups, site.Name)
		manifests, err := filepath.Glob(filepath.Join(root, "*", "manifest.json"))
		must(t, err)
		if len(manifests) != 1 {
			t.Fatalf("backups of %s: %q", site.Name, manifests)
		}
		p.want(t, 1, "backups", "site", site.Name)
		written, err := os.Stat(manifests[0])
		must(t, err)
		p.near(t, float64(written.ModTime().Unix()), 2, "backup_last_success_timestamp_seconds", "site", site.Name, "component", "all")
		p.near(t, time.Since(written.ModTime()).Seconds(), 60, "backup_age_seconds", "site", site.Name, "component", "all")
		for file, component := range map[string]string{"database.sql": "database", "code.tar": "code", "config.tar": "config", "logs.tar": "logs", "system.tar": "system"} {
			path := filepath.Join(filepath.Dir(manifests[0]), file+".zst")
			content, err := exec.CommandContext(t.Context(), "zstd", "-dcq", path).Output()
			must(t, err)
			p.want(t, float64(len(content)), "backup_last_size_bytes", "site", site.Name, "component", component)
		}
		p.want(t, stored(t, root), "backup_stored_bytes", "site", site.Name)
		p.want(t, missingFiles(t, i, site), "backup_missing_files", "site", site.Name)
	}
}

// books are files that tell about the others and do not count.
var books = []string{"manifest.json", "usage.json"}

// stored is what the files of a directory take, each once however many names it has.
func stored(t *testing.T, dir string) (bytes float64) {
	t.Helper()
	seen := map[uint64]bool{}
	must(t, filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() || slices.Contains(books, entry.Name()) {
			return err
		}
		info, err := entry.Info()
		if inode := info.Sys().(*syscall.Stat_t).Ino; err == nil && !seen[inode] {
			seen[inode] = true
			bytes += float64(info.Size())
		}
		return err
	}))
	return bytes
}

// missingFiles counts the contents that the site's own table names and its own filedir does not have.
func missingFiles(t *testing.T, i *installation, site *stand.Site) (missing float64) {
	t.Helper()
	query := "SELECT DISTINCT contenthash FROM `" + site.Database + "`." + site.Prefix + "files WHERE referencefileid IS NULL"
	for hash := range strings.FieldsSeq(i.sql(t, query)) {
		if _, err := os.Stat(filepath.Join(site.Dataroot, "filedir", hash[:2], hash[2:4], hash)); err != nil {
			missing++
		}
	}
	return missing
}

func testJobs(t *testing.T, i *installation, p page) {
	var runs []struct {
		Site, Job, State string
		Started, Ended   time.Time
	}
	must(t, json.Unmarshal([]byte(i.mustRun(t, "jobs", "--json")), &runs))
	if len(runs) != 2 {
		t.Fatalf("%d runs, want 2", len(runs))
	}
	for _, run := range runs {
		labels := []string{"site", run.Site, "name", run.Job}
		p.near(t, float64(run.Started.Unix()), 1, "job_last_start_timestamp_seconds", labels...)
		p.near(t, float64(run.Ended.Unix()), 1, "job_last_end_timestamp_seconds", labels...)
		p.near(t, run.Ended.Sub(run.Started).Seconds(), 0.001, "job_last_duration_seconds", labels...)
	}
}
