package database

import (
	"bufio"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

// logTable is Moodle's log store as 4.5 makes it.
const logTable = "CREATE TABLE `mdl_logstore_standard_log` (`id` bigint(10) NOT NULL AUTO_INCREMENT, `eventname` varchar(255) NOT NULL DEFAULT '', `component` varchar(100) NOT NULL DEFAULT ''," +
	" `action` varchar(100) NOT NULL DEFAULT '', `target` varchar(100) NOT NULL DEFAULT '', `objecttable` varchar(50) DEFAULT NULL, `objectid` bigint(10) DEFAULT NULL, `crud` varchar(1) NOT NULL DEFAULT ''," +
	" `edulevel` tinyint(1) NOT NULL, `contextid` bigint(10) NOT NULL, `contextlevel` bigint(10) NOT NULL, `contextinstanceid` bigint(10) NOT NULL, `userid` bigint(10) NOT NULL, `courseid` bigint(10) DEFAULT NULL," +
	" `relateduserid` bigint(10) DEFAULT NULL, `anonymous` tinyint(1) NOT NULL DEFAULT 0, `other` longtext DEFAULT NULL, `timecreated` bigint(10) NOT NULL, `origin` varchar(10) DEFAULT NULL, `ip` varchar(45) DEFAULT NULL," +
	" `realuserid` bigint(10) DEFAULT NULL, PRIMARY KEY (`id`), KEY `tim` (`timecreated`), KEY `couanotim` (`courseid`,`anonymous`,`timecreated`)," +
	" KEY `useconconcr` (`userid`,`contextlevel`,`contextinstanceid`,`crud`,`edulevel`,`timecreated`), KEY `con` (`contextid`), KEY `use` (`userid`), KEY `cou` (`courseid`), KEY `rea` (`realuserid`), KEY `rel` (`relateduserid`))" +
	" ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_unicode_ci ROW_FORMAT=%s;\n"

// writeLog writes a dump of a log of about so many bytes, in statements of 1 MB as mariadb-dump does.
func writeLog(to io.Writer, size int, format string) error {
	out := bufio.NewWriter(to)
	fmt.Fprintf(out, "/*!40101 SET NAMES utf8mb4 */;\n/*!40014 SET @OLD_UNIQUE_CHECKS=@@UNIQUE_CHECKS, UNIQUE_CHECKS=0 */;\n/*!40014 SET @OLD_FOREIGN_KEY_CHECKS=@@FOREIGN_KEY_CHECKS, FOREIGN_KEY_CHECKS=0 */;\n"+
		"/*!40101 SET @OLD_SQL_MODE=@@SQL_MODE, SQL_MODE='NO_AUTO_VALUE_ON_ZERO' */;\n"+logTable+"LOCK TABLES `mdl_logstore_standard_log` WRITE;\n/*!40000 ALTER TABLE `mdl_logstore_standard_log` DISABLE KEYS */;\n", format)
	random := rand.New(rand.NewPCG(1, 2))
	statement, written, when := 0, 0, 1700000000
	for id := 1; written < size; id++ {
		separator := ",\n"
		if statement == 0 {
			separator = "INSERT INTO `mdl_logstore_standard_log` VALUES\n"
		}
		when += random.IntN(20)
		n, err := fmt.Fprintf(out, "%s(%d,'\\\\core\\\\event\\\\course_viewed','core','viewed','course',NULL,NULL,'r',2,%d,50,%d,%d,%d,NULL,0,'{\"key\":%d,\"attemptid\":\"%d\"}',%d,'web','10.%d.%d.%d',NULL)", separator,
			id, random.IntN(50000), random.IntN(3000), random.IntN(20000), random.IntN(3000), random.Uint32(), random.Uint32(), when, random.IntN(256), random.IntN(256), random.IntN(256))
		if err != nil {
			return err
		}
		written, statement = written+n, statement+n
		if statement > 1030000 || written >= size {
			out.WriteString(";\n")
			statement = 0
		}
	}
	out.WriteString("/*!40000 ALTER TABLE `mdl_logstore_standard_log` ENABLE KEYS */;\nUNLOCK TABLES;\n" + footer)
	return out.Flush()
}

// BenchmarkLoad holds Load against gunzip | mariadb, on the dump of a log table of MOODLE_EXPORTER_BENCH_MB
// (300) and on that of a fresh site. The server is that of a Debian host: 128 MB of buffer pool, synced commits.
// Run it with -bench=Load -benchtime=1x.
func BenchmarkLoad(b *testing.B) {
	db := own(b, "--innodb-buffer-pool-size=128M", "--innodb-log-file-size=96M", "--innodb-flush-log-at-trx-commit=1", "--innodb-flush-method=O_DIRECT")
	s := connected(b, db)
	size, err := strconv.Atoi(os.Getenv("MOODLE_EXPORTER_BENCH_MB"))
	if err != nil {
		size = 300
	}
	dir := b.TempDir()
	for _, kind := range []string{"site", "COMPRESSED", "DYNAMIC"} {
		plain := filepath.Join(dir, kind+".sql")
		content, err := os.Create(plain)
		if err != nil {
			b.Fatal(err)
		}
		if kind == "site" {
			stand.NeedFixtures(b)
			schema(b, db, s, "source")
			if err := stand.LoadFixture(b.Context(), db, "4.5", "source"); err != nil {
				b.Fatal(err)
			}
			_, err = content.Write(dump(b, db, "source"))
		} else {
			err = writeLog(content, size<<20, kind)
		}
		if err != nil || content.Close() != nil {
			b.Fatal(err)
		}
		b.Run(kind+"/gunzip-mariadb", func(b *testing.B) { loadOld(b, db, s, plain) })
		b.Run(kind+"/Load", func(b *testing.B) { loadNew(b, db, s, plain) })
	}
}

func loadOld(b *testing.B, db *stand.MariaDBServer, s *Server, plain string) {
	pack(b, plain, ".gz", func(to io.Writer) io.WriteCloser { return gzip.NewWriter(to) })
	schema(b, db, s, "old")
	for b.Loop() {
		run(b, db, "DROP DATABASE old", "CREATE DATABASE old")
		command := fmt.Sprintf("gunzip -c %s | mariadb --no-defaults --socket=%s --user=%s --default-character-set=utf8mb4 old", plain+".gz", db.Socket, db.RootUser())
		if out, err := exec.CommandContext(b.Context(), "sh", "-c", command).CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
	}
}

func loadNew(b *testing.B, db *stand.MariaDBServer, s *Server, plain string) {
	pack(b, plain, ".zst", func(to io.Writer) io.WriteCloser {
		packer, err := zstd.NewWriter(to)
		if err != nil {
			b.Fatal(err)
		}
		return packer
	})
	schema(b, db, s, "new")
	for b.Loop() {
		if err := s.Discard(b.Context(), StagedName("new", "1"), true); err != nil {
			b.Fatal(err)
		}
		file, err := os.Open(plain + ".zst")
		if err != nil {
			b.Fatal(err)
		}
		unpacker, err := zstd.NewReader(file, zstd.WithDecoderConcurrency(1))
		if err != nil {
			b.Fatal(err)
		}
		o := LoadOptions{Schema: StagedName("new", "1"), Charset: "utf8mb4", Collation: "utf8mb4_unicode_ci", Binlog: true, Logger: quiet(b)}
		if err := s.Load(b.Context(), unpacker, o); err != nil {
			b.Fatal(err)
		}
		unpacker.Close()
		_ = file.Close()
	}
	b.ReportMetric(float64(peak(b)), "peak-MB")
	_ = s.Discard(context.Background(), StagedName("new", "1"), true)
}

func pack(b *testing.B, plain, suffix string, packer func(io.Writer) io.WriteCloser) {
	b.Helper()
	from, err := os.Open(plain)
	if err != nil {
		b.Fatal(err)
	}
	defer from.Close()
	to, err := os.Create(plain + suffix)
	if err != nil {
		b.Fatal(err)
	}
	p := packer(to)
	if _, err := io.Copy(p, from); err != nil || p.Close() != nil || to.Close() != nil {
		b.Fatal(err)
	}
}

// peak is the most memory that this process has had, in MB.
func peak(b *testing.B) (megabytes int) {
	b.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	if _, err := fmt.Sscan(rest, &megabytes); err != nil {
		b.Fatal(err)
	}
	return megabytes >> 10
}
