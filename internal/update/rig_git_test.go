package update_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"github.com/moodle-exporter/moodle-exporter/test/stand"
)

const branch = "MOODLE_405_STABLE"

// newer is the release that tests update to.
var newer = stand.Release{Version: "2024100706.00", Release: "4.5.6 (Build: 20250811)", Branch: "405"}

// history is a repository with the release that sites begin with, and what a clone of it has in .git. It is made once.
var history struct {
	once   sync.Once
	err    error
	origin string // .git of the repository
	clone  string // .git of a clone of it
}

func makeHistory() error {
	dir, remove, err := stand.MakeTempDir()
	if err != nil {
		return err
	}
	server.stop = append(server.stop, remove)
	origin, clone := filepath.Join(dir, "origin"), filepath.Join(dir, "clone")
	history.origin, history.clone = filepath.Join(origin, ".git"), filepath.Join(clone, ".git")
	if err := stand.WriteRelease(origin, stand.Release{}); err != nil {
		return err
	}
	for _, arguments := range [][]string{
		{"init", "--quiet", "--initial-branch=" + branch}, {"add", "--all"}, {"commit", "--quiet", "--message=Moodle"}, {"tag", "v4.5.5"},
		{"repack", "-adq"}, {"clone", "--quiet", "--no-checkout", origin, clone},
	} {
		if _, err := git(origin, arguments...); err != nil {
			return err
		}
	}
	return nil
}

// git runs git in a directory, whomever that belongs to.
func git(dir string, arguments ...string) (string, error) {
	command := exec.Command("git", append([]string{"-c", "safe.directory=*", "-c", "core.fileMode=false", "-C", dir}, arguments...)...)
	command.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.org")
	output, err := command.CombinedOutput()
	if err != nil {
		err = errors.Join(err, errors.New(string(output)))
	}
	return strings.TrimSpace(string(output)), err
}

func (r *rig) git(dir string, arguments ...string) string {
	r.t.Helper()
	output, err := git(dir, arguments...)
	if err != nil {
		r.t.Fatalf("git %v: %v", arguments, err)
	}
	return output
}

// checkOut makes a repository with the code of the site, and the site a checkout of it.
func (r *rig) checkOut() {
	r.t.Helper()
	history.once.Do(func() { history.err = makeHistory() })
	r.must(history.err)
	r.origin = filepath.Join(r.dir, "origin")
	r.must(os.CopyFS(filepath.Join(r.origin, ".git"), os.DirFS(history.origin)))
	r.must(os.CopyFS(filepath.Join(r.site.CodeDir, ".git"), os.DirFS(history.clone)))
	r.own(r.origin)
	r.git(r.site.CodeDir, "remote", "set-url", "origin", r.origin)
	r.git(r.site.CodeDir, "reset", "--quiet")
	r.own(r.site.CodeDir)
}

// release commits another release to the repository.
func (r *rig) release(release stand.Release) {
	r.t.Helper()
	entries, err := os.ReadDir(r.origin)
	r.must(err)
	for _, entry := range entries {
		if entry.Name() != ".git" {
			r.must(os.RemoveAll(filepath.Join(r.origin, entry.Name())))
		}
	}
	r.must(stand.WriteRelease(r.origin, release))
	r.git(r.origin, "add", "--all")
	r.git(r.origin, "commit", "--quiet", "--message=Moodle "+release.Release)
	r.own(r.origin)
}

func (r *rig) own(dir string) {
	r.t.Helper()
	r.must(filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, r.site.Web.UID, r.site.Web.GID)
	}))
}
