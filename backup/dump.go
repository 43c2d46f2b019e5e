package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/moodle-exporter/moodle-exporter/backup/store"
	"github.com/moodle-exporter/moodle-exporter/internal/command"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

// dumpPrograms in the order of preference: MariaDB 11 ships mysqldump as a deprecated link only.
var dumpPrograms = []string{"mariadb-dump", "mysqldump"}

// clientPacket is the largest row the dumping client takes, 1 GiB: the server's own limit counts.
const clientPacket = "1G"

// client is the dump program of this host.
type client struct {
	path  string
	mysql bool // Oracle's mysqldump, which wants options that MariaDB's does not know
	old   bool // up to 5.7
}

// findClient looks for the first of the named programs. What a mysqldump is its name does not say: Debian's
// default-mysql-client has MariaDB's.
func findClient(ctx context.Context, programs []string) (client, error) {
	path, err := command.Look(programs...)
	if err != nil {
		return client{}, err
	}
	version, err := command.Output(ctx, 4<<10, command.Command{Name: path, Args: []string{"--no-defaults", "--version"}})
	if err != nil {
		return client{}, err
	}
	return clientOf(path, string(version)), nil
}

// clientOf tells the programs by what --version says: "mysqldump  Ver 8.0.36 for Linux on x86_64 (MySQL …)",
// "mysqldump  Ver 10.13 Distrib 5.7.44, for Linux (x86_64)", "mysqldump  Ver 10.19 Distrib 10.11.19-MariaDB, …",
// "mariadb-dump from 11.8.3-MariaDB, client 10.19 for …".
func clientOf(path, version string) client {
	c := client{path: path, mysql: !strings.Contains(version, "MariaDB")}
	c.old = c.mysql && strings.Contains(version, "Distrib 5.")
	return c
}

// arguments of one dump. The option file must be the first; the footer, of which the date is left out so
// that equal content gives equal files, is how the end is known. The program asks the server for the triggers
// of each table, which takes as long as dumping a small one; where there are none it need not.
func (c client) arguments(options, name string, triggers bool) []string {
	arguments := []string{
		"--defaults-file=" + options, "--single-transaction", "--quick", "--routines", "--triggers", "--events", "--hex-blob",
		"--default-character-set=utf8mb4", "--max-allowed-packet=" + clientPacket, "--no-tablespaces", "--comments", "--skip-dump-date",
	}
	if !triggers {
		arguments = append(arguments, "--skip-triggers")
	}
	switch {
	case !c.mysql:
		// From 11.4 on MariaDB's clients refuse a server without a certificate that they can verify; Moodle's
		// own connection, and ours, ask for none.
		arguments = append(arguments, "--skip-ssl-verify-server-cert")
	case c.old:
		arguments = append(arguments, "--set-gtid-purged=OFF")
	default:
		arguments = append(arguments, "--set-gtid-purged=OFF", "--column-statistics=0")
	}
	return append(arguments, "--", name)
}

// dumper dumps one database and proves that the dump is whole.
type dumper struct {
	store       store.Store
	session     *session
	client      client
	site        *moodle.Site
	run         Run
	log         *slog.Logger
	named       *references
	compression compression
	snapshot    func() // told once in each attempt when the snapshot that it dumps exists; nil if nobody asks
	strange     int64  // rows of the files table whose content hash is none
}

// errChanged is a schema that changed while it was dumped.
var errChanged = errors.New("the database's structure changed during the dump")

// errorTableChanged is ER_TABLE_DEF_CHANGED: an ALTER TABLE came between the snapshot and the table's turn.
const errorTableChanged = "1412"

// dump makes the file and the description of its content. A structure that changed under it is tried once
// more; an upgrade would keep changing it, and is an error.
func (d *dumper) dump(ctx context.Context) (File, *DatabaseContent, error) {
	file, content, err := d.attempt(ctx)
	var failed *command.Error
	if errors.Is(err, errChanged) || errors.As(err, &failed) && strings.Contains(failed.Stderr, errorTableChanged) {
		d.log.Warn("the database's structure changed during the dump; dumping it once more", "err", err)
		file, content, err = d.attempt(ctx)
	}
	if err != nil {
		return File{}, nil, fmt.Errorf("dump database %s: %w", d.session.name, err)
	}
	return file, content, nil
}

func (d *dumper) attempt(ctx context.Context) (File, *DatabaseContent, error) {
	if err := d.named.reset(); err != nil {
		return File{}, nil, err
	}
	d.strange = 0
	before, err := d.session.schema(ctx)
	if err != nil {
		return File{}, nil, err
	}
	scan := newDumpScan(d.site.Table("files"), d.name)
	scan.begun = d.snapshot
	file, err := d.compression.save(ctx, d.store, databaseName, Database, func(to io.Writer) error {
		// A trigger that is made meanwhile is in the second look and not in the first, which begins the dump anew.
		if err := d.stream(ctx, io.MultiWriter(to, scan, progress{d.run}), before.Triggers > 0); err != nil {
			return err
		}
		if !scan.completed {
			return errors.New("it ends before its last line, although the program that wrote it reported success")
		}
		return nil
	})
	if err != nil {
		return File{}, nil, err
	}
	after, err := d.session.schema(ctx)
	if err != nil {
		return File{}, nil, err
	}
	if before.objects() != after.objects() {
		return File{}, nil, errChanged
	}
	if err := d.compare(scan, after); err != nil {
		return File{}, nil, err
	}
	return file, &DatabaseContent{
		Kind: after.kind(), Version: after.version, Client: filepath.Base(d.client.path), Name: d.session.name,
		Prefix: d.site.Config.Prefix, Charset: after.charset, Collation: after.collation,
		Rows: scan.rows, Views: scan.views, Triggers: scan.triggers, Routines: scan.routines, Events: scan.events,
		LongestStatement: scan.longest, MaxAllowedPacket: after.maxAllowedPacket,
	}, nil
}

// stream runs the program. The login reaches it through an inherited pipe.
func (d *dumper) stream(ctx context.Context, to io.Writer, triggers bool) error {
	options, err := optionPipe(d.session.login)
	if err != nil {
		return err
	}
	defer options.Close()
	return command.Run(ctx, command.Command{
		Name: d.client.path, Args: d.client.arguments("/dev/fd/3", d.session.name, triggers),
		Files: append([]*os.File{options}, d.run.LockFiles()...), Started: d.run.ChildStarted, Stdout: to,
	})
}

// keyTables hold rows on every Moodle site.
var keyTables = []string{"config", "config_plugins", "context", "course", "files", "user"}

// compare holds what the dump contains against what the server says there is.
func (d *dumper) compare(scan *dumpScan, want schema) error {
	got := [5]int64{scan.tables, scan.views, scan.triggers, scan.routines, scan.events}
	for i, name := range objectNames {
		if got[i] != want.objects()[i] {
			return fmt.Errorf("it holds %d %s, but the database has %d", got[i], name, want.objects()[i])
		}
	}
	for _, name := range keyTables {
		table := d.site.Table(name)
		rows, there := scan.rows[table]
		if !there {
			return fmt.Errorf("the table %s is not in it: is %q the prefix of this site's tables?", table, d.site.Config.Prefix)
		}
		if rows == 0 && name != "files" {
			return fmt.Errorf("it holds no row of the table %s, which no Moodle site leaves empty", table)
		}
	}
	return nil
}

// name takes the content file of one row.
func (d *dumper) name(hash, size []byte, alias bool) error {
	s, ok := parseSum(hash)
	if !ok {
		d.strange++
		return nil
	}
	bytes, err := strconv.ParseInt(string(size), 10, 64)
	if err != nil || bytes < 0 {
		bytes = 0
	}
	return d.named.add(reference{blob: blob{s, bytes}, alias: alias})
}

// progress tells the run how much has passed by.
type progress struct{ run Run }

func (p progress) Write(b []byte) (int, error) {
	p.run.Add(int64(len(b)))
	return len(b), nil
}
