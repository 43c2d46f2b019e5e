package update

import (
	"context"
	"fmt"
	"strings"

	"github.com/moodle-exporter/moodle-exporter/backup"
	"github.com/moodle-exporter/moodle-exporter/backup/database"
)

// planWayBack sees to it that the database could come back, before anything makes that needful: the account, its rights, the
// room for all tables a second time, replicas.
func (u *update) planWayBack(ctx context.Context) error {
	problems, err := u.tryWayBack(ctx, database.Wants{Bytes: u.size})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		u.plan.problem("name the server's unix socket in database.admin.socket of the site, where root gets in, or an account that may do it in database.admin", "the database could not come back if the update failed: %v", err)
		return nil
	}
	for _, problem := range problems {
		if problem.Fatal {
			u.plan.problem(problem.SQL, "the database could not come back if the update failed: %s", problem.Text)
		} else {
			u.plan.note("for the way back: %s", strings.TrimSpace(problem.Text+" "+problem.SQL))
		}
	}
	return nil
}

// tryWayBack asks the database server, and notes for the journal whether replicas follow it.
func (u *update) tryWayBack(ctx context.Context, w database.Wants) ([]database.Problem, error) {
	server, err := database.ConnectSite(ctx, u.Site)
	if err != nil {
		return nil, err
	}
	defer func() { _ = server.Close() }()
	replicas, err := server.Replicas(ctx)
	if err != nil {
		return nil, err
	}
	c := u.Site.Config
	w.DB, w.ID, w.Binlog = c.DBName, u.run.ID(), len(replicas) > 0
	u.journal.Binlog = w.Binlog
	if w.Scope, err = server.Scope(ctx, c.DBName, c.Prefix, w.Dumped); err != nil {
		return nil, err
	}
	return server.Preflight(ctx, w)
}

// proveWayBack asks once more with what is known of the dump now.
func (u *update) proveWayBack(ctx context.Context, manifest *backup.Manifest) error {
	m := manifest.Database
	file, _ := manifest.File(backup.FileOf(backup.Database))
	problems, err := u.tryWayBack(ctx, database.Wants{
		Kind: m.Kind, Version: m.Version, Charset: m.Charset, Collation: m.Collation, LongestStatement: m.LongestStatement, Bytes: file.ContentSize, Dumped: m.Rows,
	})
	for _, problem := range problems {
		if problem.Fatal {
			err = fmt.Errorf("%s %s", problem.Text, problem.SQL)
		}
	}
	if err != nil {
		return fmt.Errorf("the database could not come back if the update failed: %w", err)
	}
	return nil
}
