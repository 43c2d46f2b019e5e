package stand

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Momentary are the tables, without prefix, whose rows belong to a moment: cron changes them, and a restore or an update
// resets some. A look at a site leaves them out.
var Momentary = []string{"sessions", "task_scheduled", "task_adhoc", "lock_db", "config"}

// Sums is a line for each table of the schema that dsn names, with the checksum of its rows.
func Sums(ctx context.Context, dsn, prefix string) (_ string, err error) {
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var tables []string
	err = eachRow(ctx, db, "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = 'BASE TABLE' ORDER BY 1",
		func(scan func(...any) error) error {
			var name string
			if err := scan(&name); err != nil {
				return err
			}
			if !slices.Contains(Momentary, strings.TrimPrefix(name, prefix)) {
				tables = append(tables, "`"+name+"`")
			}
			return nil
		})
	if err != nil || len(tables) == 0 {
		return "", err
	}
	var sums strings.Builder
	err = eachRow(ctx, db, "CHECKSUM TABLE "+strings.Join(tables, ", "), func(scan func(...any) error) error {
		var name string
		var sum sql.NullInt64
		err := scan(&name, &sum)
		fmt.Fprintln(&sums, name, sum.Int64)
		return err
	})
	return sums.String(), err
}

func eachRow(ctx context.Context, db *sql.DB, query string, visit func(scan func(...any) error) error) error {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // Err tells what went wrong
	for rows.Next() {
		if err := visit(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// ShortLived says whether a path in a site's code or data is what the site keeps for itself only for a while, or ours.
func ShortLived(path string) bool {
	top, _, _ := strings.Cut(path, "/")
	return strings.HasPrefix(filepath.Base(path), ".mxp-") ||
		slices.Contains([]string{"cache", "localcache", "temp", "sessions", "trashdir", "lock", "climaintenance.html"}, top)
}

// Listing is a line for each file below dir, with its mode, owner and digest. Paths that skip knows are left out, with all
// below them; nil leaves out nothing. A directory that is not there has no lines.
func Listing(dir string, skip func(path string) bool) (string, error) {
	var lines []string
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		if skip != nil && skip(name) {
			if entry.IsDir() {
				return filepath.SkipDir
			}
			return nil
		}
		line, err := describeFile(path, entry)
		lines = append(lines, name+" "+line)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return strings.Join(lines, "\n"), err
}

func describeFile(path string, entry os.DirEntry) (string, error) {
	info, err := entry.Info()
	if err != nil {
		return "", err
	}
	digest := ""
	if info.Mode().IsRegular() {
		content, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		digest = fmt.Sprintf(" %x", sha256.Sum256(content))
	}
	owner := Owner(info)
	return fmt.Sprintf("%v %d:%d%s", info.Mode(), owner.UID, owner.GID, digest), nil
}

// NoLogin is the status of a page that is there, and is no login page.
const NoLogin = -1

// LoginPage is the status that a site's login page answers with, or NoLogin.
func (n *NginxServer) LoginPage(ctx context.Context, site *Site) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, site.WWWRoot+"/login/index.php", nil)
	if err != nil {
		return 0, err
	}
	response, err := n.Client().Do(request)
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode == http.StatusOK && !bytes.Contains(body, []byte(`name="password"`)) {
		return NoLogin, nil
	}
	return response.StatusCode, err
}

// Diff are the lines that only one of two texts has, at most 20.
func Diff(before, after string) string {
	lines := func(text string) (all []string, known map[string]bool) {
		known = map[string]bool{}
		for _, line := range strings.Split(text, "\n") {
			all, known[line] = append(all, line), true
		}
		return all, known
	}
	was, inWas := lines(before)
	is, inIs := lines(after)
	var out []string
	for _, line := range was {
		if !inIs[line] {
			out = append(out, "- "+line)
		}
	}
	for _, line := range is {
		if !inWas[line] {
			out = append(out, "+ "+line)
		}
	}
	return strings.Join(out[:min(len(out), 20)], "\n")
}
