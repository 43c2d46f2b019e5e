package update

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/moodle-exporter/moodle-exporter/internal/command"
	"github.com/moodle-exporter/moodle-exporter/internal/control"
	"github.com/moodle-exporter/moodle-exporter/internal/moodle"
)

// checkout is what the live code is for git.
type checkout struct {
	git
	head   string            // commit
	branch string            // empty for a detached HEAD
	remote string            // address; empty where there is none
	others []string          // files that git does not know: config.php, plugins; other repositories are one entry
	links  map[string]string // submodules, with their commits
	dirty  []string          // files that were changed
	local  []string          // commits that no remote has
}

// errLinkedCheckout is a checkout whose repository lies elsewhere.
var errLinkedCheckout = errors.New(".git in the code is a file: the checkout belongs to a repository elsewhere (a worktree or submodule), which cannot be exchanged together with the code; set update.source: archive, or make an ordinary clone")

// openCheckout looks at the live code; nil if it is no checkout. git runs as the owner of the repository, or as the site's
// user where that is root: neither may ask the other for its hooks and settings.
func openCheckout(ctx context.Context, site *moodle.Site, run control.Run) (*checkout, error) {
	info, err := os.Lstat(filepath.Join(site.Dir, ".git"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, errLinkedCheckout
	}
	user, err := gitUser(site, info)
	if err != nil {
		return nil, err
	}
	c := &checkout{git: git{user: user, dir: site.Dir, run: run}}
	return c, c.read(ctx)
}

func gitUser(site *moodle.Site, repository fs.FileInfo) (*command.User, error) {
	if status, ok := repository.Sys().(*syscall.Stat_t); ok && status.Uid != 0 {
		if owner, err := command.LookupUser(fmt.Sprint(status.Uid)); err == nil {
			return owner, nil
		}
	}
	return command.SiteUser(site.User)
}

func (c *checkout) read(ctx context.Context) (err error) {
	if c.head, err = c.line(ctx, "rev-parse", "--verify", "HEAD^{commit}"); err != nil {
		return fmt.Errorf("read the checkout: %w", err)
	}
	c.branch, _ = c.line(ctx, "symbolic-ref", "--short", "--quiet", "HEAD") // fails for a tag
	name := "origin"
	if c.branch != "" {
		if configured, err := c.line(ctx, "config", "--get", "branch."+c.branch+".remote"); err == nil && configured != "" && configured != "." {
			name = configured
		}
	}
	c.remote, _ = c.line(ctx, "config", "--get", "remote."+name+".url") // fails where there is none
	if c.others, err = c.list(ctx, "ls-files", "-z", "--others"); err != nil {
		return fmt.Errorf("list what git does not know: %w", err)
	}
	if c.links, err = c.submodules(ctx, c.head); err != nil {
		return err
	}
	if c.dirty, err = c.changed(ctx); err != nil {
		return err
	}
	commits, err := c.output(ctx, "rev-list", "--max-count=20", "HEAD", "--not", "--remotes", "--tags")
	c.local = strings.Fields(commits)
	return err
}

// changed are the tracked files that are not as git has them.
func (c *checkout) changed(ctx context.Context) (files []string, err error) {
	entries, err := c.list(ctx, "status", "--porcelain=v1", "-z", "--untracked-files=no", "--ignore-submodules=untracked", "--no-renames")
	for _, entry := range entries {
		if len(entry) > 3 {
			files = append(files, entry[3:])
		}
	}
	return files, err
}

// submodules are the directories that a commit leaves to other repositories.
func (g git) submodules(ctx context.Context, commit string) (map[string]string, error) {
	entries, err := g.list(ctx, "ls-tree", "-r", "-z", "--full-tree", commit)
	if err != nil {
		return nil, fmt.Errorf("look for submodules: %w", err)
	}
	found := map[string]string{}
	for _, entry := range entries {
		head, path, _ := strings.Cut(entry, "\t")
		if fields := strings.Fields(head); len(fields) == 3 && fields[0] == "160000" {
			found[path] = fields[2]
		}
	}
	return found, nil
}

// planCheckout says what of the live checkout would be lost.
func (u *update) planCheckout() {
	if _, stays := u.source.(*present); u.checkout == nil || stays {
		return
	}
	if dirty := u.checkout.dirty; len(dirty) > 0 {
		slices.Sort(dirty)
		u.plan.problem("See git -C "+u.Site.Dir+" diff. Keep the changes in a commit of a branch of your own that you update from, or undo them: git -C "+u.Site.Dir+" checkout -- FILE",
			"%d files of the code were changed by hand and would be lost: %s", len(dirty), some(dirty))
	}
}

const fewNames = 8

func some(names []string) string {
	text := strings.Join(names[:min(len(names), fewNames)], ", ")
	if more := len(names) - fewNames; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}
