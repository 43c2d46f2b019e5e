package restore

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/backup/database"
	"github.com/moodle-exporter/moodle-exporter/backup/tree"
	"github.com/moodle-exporter/moodle-exporter/internal/command"
	"github.com/moodle-exporter/moodle-exporter/internal/control"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

// databasePart is what a restore of the database holds on to.
type databasePart struct {
	server *database.Server
	wants  database.Wants
}

func (d *databasePart) close() {
	if d != nil {
		_ = d.server.Close()
	}
}

// wants is what the database part of this restore is about.
func (o *Options) wants(ctx context.Context, server *database.Server, t target, id string) (w database.Wants, err error) {
	m := o.Reader.Manifest
	c := m.Database
	file, _ := m.File(backup.FileOf(backup.Database))
	w = database.Wants{
		DB: t.database, ID: id, Kind: c.Kind, Version: c.Version, Charset: c.Charset, Collation: c.Collation,
		LongestStatement: c.LongestStatement, Bytes: file.ContentSize, Dumped: c.Rows,
	}
	if w.Scope, err = server.Scope(ctx, t.database, t.prefix, c.Rows); err != nil {
		return w, err
	}
	replicas, err := server.Replicas(ctx)
	w.Binlog = len(replicas) > 0
	return w, err
}

// planDatabase looks at the server that takes the dump.
func (o *Options) planDatabase(ctx context.Context, p *Plan) error {
	if !p.has(backup.Database) {
		return nil
	}
	m := p.Backup.Database
	site := o.loginSite(ctx, p.target)
	server, err := database.ConnectSite(ctx, site)
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil && p.noServer {
		if _, missing := command.Look("mariadbd", "mysqld"); missing != nil {
			return nil // said with all else that is missing
		}
	}
	if err != nil {
		p.problem("install and start "+m.Kind+" "+major(m.Version)+" or newer (Debian: apt-get install mariadb-server), or give database.admin of the site an account that can log in",
			"no database server takes the database: %v", err)
		return nil
	}
	defer server.Close()
	if o.Live != nil && o.Live.Config.Prefix != m.Prefix {
		p.problem("", "the live site's tables begin with %q and those of the backup with %q", o.Live.Config.Prefix, m.Prefix)
		return nil
	}
	wants, err := o.wants(ctx, server, p.target, someID)
	if err != nil {
		return err
	}
	if err := discardTried(ctx, server, wants); err != nil {
		return err
	}
	problems, err := server.Preflight(ctx, wants)
	if err != nil {
		return err
	}
	for _, problem := range problems {
		if problem.Fatal {
			p.problem(problem.SQL, "%s", problem.Text)
		} else {
			p.note("%s%s", problem.Text, asHint(problem.SQL))
		}
	}
	file, _ := p.Backup.File(backup.FileOf(backup.Database))
	if err := roomForTables(ctx, p, server.Login, file.ContentSize); err != nil {
		return err
	}
	p.step("load the dump (%s, %d tables) into a schema of its own, count its rows, and later exchange all tables in one step", backup.Bytes(file.ContentSize), len(m.Rows))
	return nil
}

// growth is how much more room tables take than their SQL, with their indexes.
const growth = 2

// roomForTables adds what the tables take to what the files take, where they share a disk.
func roomForTables(ctx context.Context, p *Plan, login moodle.Login, bytes int64) error {
	if login.Network != "unix" {
		return nil // its disk is not seen from here
	}
	admin, err := administer(login)
	if err != nil {
		return err
	}
	defer admin.Close()
	var dir string
	if err := admin.QueryRowContext(ctx, "SELECT @@GLOBAL.datadir").Scan(&dir); err != nil {
		return fmt.Errorf("ask the server where its data lie: %w", err)
	}
	if _, err := tree.SpaceAt(dir); err == nil {
		p.rooms.need(p, dir, bytes*growth)
	}
	return nil
}

// discardTried drops the empty schemas in which an earlier plan has tried its rights, if it was killed over that.
func discardTried(ctx context.Context, server *database.Server, w database.Wants) error {
	left, err := server.Leftovers(ctx, w.DB)
	if err != nil {
		return err
	}
	for _, name := range []string{database.StagedName(w.DB, someID), database.OldName(w.DB, someID)} {
		if !slices.Contains(left, name) {
			continue
		}
		if err := server.Discard(ctx, name, w.Binlog); err != nil {
			return err
		}
	}
	return nil
}

// someID stands for the ID of a restore that has none yet; rights are asked by the length of the names.
const someID = "20060102T150405Z"

func asHint(sql string) string {
	if sql == "" {
		return ""
	}
	return " (" + strings.TrimSuffix(sql, ";") + ")"
}

// stageDatabase loads the dump beside the live schema, and counts what came of it.
func (r *restoration) stageDatabase(ctx context.Context) error {
	if !r.has(backup.Database) {
		return nil
	}
	server, err := database.ConnectSite(ctx, r.site)
	if err != nil {
		return err
	}
	part, m := &databasePart{server: server}, r.Reader.Manifest.Database
	r.database = part
	if part.wants, err = r.wants(ctx, server, r.target, r.journal.ID); err != nil {
		return err
	}
	r.journal.Database = &journaled{
		DB: r.target.database, Prefix: r.target.prefix, Rows: m.Rows, SiteUser: r.site.Config.DBUser, Binlog: part.wants.Binlog,
		Network: server.Login.Network, Address: server.Login.Address, User: server.Login.User,
	}
	if err := r.journal.save(); err != nil {
		return err
	}
	file, err := r.Reader.Open(ctx, backup.FileOf(backup.Database))
	if err != nil {
		return err
	}
	defer file.Close()
	err = backup.Settle(file, server.Load(ctx, file, database.LoadOptions{
		Schema: database.StagedName(r.target.database, r.journal.ID), Source: m.Name, Live: r.target.database,
		Charset: m.Charset, Collation: m.Collation, Scope: part.wants.Scope, Binlog: part.wants.Binlog,
		Progress: r.run.Add, Logger: r.Logger,
	}))
	if err != nil {
		return err
	}
	if err := r.count(ctx); err != nil {
		return err
	}
	return r.resetFlags(ctx)
}

// resetFlags takes back, in the staged tables, what belonged to the moment of the dump.
func (r *restoration) resetFlags(ctx context.Context) error {
	admin, err := administer(r.database.server.Login)
	if err != nil {
		return err
	}
	defer admin.Close()
	staged := *r.site
	staged.Config.DBName = database.StagedName(r.target.database, r.journal.ID)
	reset, err := control.ResetFlags(ctx, admin, &staged, control.Flags{AnotherHost: r.target.moved != "", KeepMail: r.AllowMail})
	if err != nil {
		return err
	}
	r.Logger.Info("what belonged to the moment of the backup was reset", "sessions", reset.Sessions, "tasks", reset.Tasks, "locks", reset.Locks, "mail_off", reset.MailOff)
	return nil
}

// count compares what was loaded with what was counted when the dump was made.
func (r *restoration) count(ctx context.Context) error {
	part, m := r.database, r.Reader.Manifest.Database
	found, err := part.server.Count(ctx, database.StagedName(r.target.database, r.journal.ID), part.wants.Scope, database.Content{
		Rows: m.Rows, Views: m.Views, Triggers: m.Triggers, Routines: m.Routines, Events: m.Events,
	})
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return nil
	}
	return fmt.Errorf("the database that was loaded is not the one that was dumped: %d things differ, first %v", len(found), found[0])
}

// journaled is what the journal says about the exchange of the database, and how to get to it: no password.
type journaled struct {
	DB       string           `json:"db"`
	Prefix   string           `json:"prefix"`
	Rows     map[string]int64 `json:"rows"` // of the tables in the dump
	SiteUser string           `json:"site_user"`
	Binlog   bool             `json:"binlog"`
	Network  string           `json:"network"`
	Address  string           `json:"address"`
	User     string           `json:"user"`
}
