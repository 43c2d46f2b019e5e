package update

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/moodle-exporter/moodle-exporter/internal/command"
	"github.com/moodle-exporter/moodle-exporter/internal/config"
)

// moodleRepository is where a site comes from that is no checkout.
const moodleRepository = "https://github.com/moodle/moodle.git"

// repository is the name of our own one within the staging directory.
const repository = "git"

// gitCode is a branch or tag of a git repository.
type gitCode struct {
	git
	remote string
	ref    string // refs/heads/… or refs/tags/…
	commit string // of the ref
	refs   map[string]string
	linked map[string]string // submodules of the commit
}

func (u *update) gitSource() (source, error) {
	g := &gitCode{remote: u.Update.Remote, git: git{run: u.run}}
	if g.remote == "" && u.checkout != nil {
		g.remote = u.checkout.remote
	}
	if g.remote == "" {
		g.remote = moodleRepository
	}
	if err := config.CheckRemote(g.remote); err != nil {
		return nil, refusedSource("the address of the git repository is not used: "+err.Error(), "set update.remote, or: git -C "+u.Site.Dir+" remote set-url origin "+moodleRepository)
	}
	if _, err := command.Look("git"); err != nil {
		return nil, refusedSource("git is not installed", "apt-get install git")
	}
	var err error
	if u.checkout != nil {
		g.user = u.checkout.user
		return g, nil
	}
	g.user, err = command.SiteUser(u.Site.User)
	return g, err
}

func (g *gitCode) words() string {
	name := strings.TrimPrefix(strings.TrimPrefix(g.ref, "refs/heads/"), "refs/tags/")
	if g.commit == "" {
		return "git"
	}
	return fmt.Sprintf("git, %s (%s)", name, g.commit[:min(12, len(g.commit))])
}

// resolve asks the remote what it has.
func (g *gitCode) resolve(ctx context.Context, u *update) (bool, error) {
	if err := g.create(ctx, u); err != nil {
		return false, fmt.Errorf("make a repository for the new code: %w", err)
	}
	listed, err := g.output(ctx, "ls-remote", "--heads", "--tags", "origin")
	if err != nil {
		return false, refusedSource(fmt.Sprintf("the git repository does not answer: %v", err),
			"try it: sudo -u "+g.user.Name+" git ls-remote ADDRESS; a private one needs a key that this user may use without a password, a proxy stands in /etc/gitconfig (http.proxy)")
	}
	g.refs = map[string]string{}
	for line := range strings.Lines(listed) {
		commit, ref, found := strings.Cut(strings.TrimSpace(line), "\t")
		if found {
			// A tag with a message is followed by what it stands for, as NAME^{}.
			g.refs[strings.TrimSuffix(ref, "^{}")] = commit
		}
	}
	u.plan.Available = append(u.plan.Available, g.available(u.Site.Version, u.checkout)...)
	if g.ref, err = g.choose(u); err != nil {
		return false, err
	}
	g.commit = g.refs[g.ref]
	u.plan.Commit = g.commit
	if u.checkout != nil && u.checkout.head == g.commit && len(u.Plugins) == 0 {
		pending, err := u.cli("").IsPending(ctx)
		return !pending, err
	}
	return false, g.fetch(ctx, u)
}

// create makes a bare repository of ours, which knows what the checkout has and nothing of its settings.
func (g *gitCode) create(ctx context.Context, u *update) error {
	s := u.staging
	g.dir = s.path(repository)
	if err := errors.Join(s.keep.Mkdir(repository, 0o700), s.keep.Lchown(repository, int(g.user.UID), int(g.user.GID))); err != nil {
		return err
	}
	if err := s.letIn(g.user); err != nil {
		return err
	}
	if _, err := g.output(ctx, "init", "--quiet", "--bare", "--template="); err != nil {
		return err
	}
	// The address may hold a password, so it does not go by the command line.
	escaped := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(g.remote)
	if err := g.appendFile(s.keep, "config", "[remote \"origin\"]\n\turl = \""+escaped+"\"\n"); err != nil {
		return err
	}
	if u.checkout == nil {
		return nil
	}
	g.env = append(g.env, "GIT_ALTERNATE_OBJECT_DIRECTORIES="+u.Site.Dir+"/.git/objects")
	live, err := os.OpenRoot(u.Site.Dir)
	if err != nil {
		return err
	}
	defer live.Close()
	if shallow, err := live.ReadFile(".git/shallow"); err == nil {
		return g.appendFile(s.keep, "shallow", string(shallow))
	}
	return nil
}

// appendFile writes to a file of our repository, which belongs to the user whom git runs as.
func (g *gitCode) appendFile(keep *os.Root, name, text string) error {
	file, err := keep.OpenFile(repository+"/"+name, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	return errors.Join(err, file.Chown(int(g.user.UID), int(g.user.GID)), file.Close())
}

// choose settles which branch or tag is meant.
func (g *gitCode) choose(u *update) (string, error) {
	wanted := u.To
	if wanted == "" {
		wanted = u.Update.Branch
	}
	if wanted == "" && u.checkout != nil {
		wanted = u.checkout.branch
	}
	if wanted == "" {
		if tag := newestTag(g.refs, u.Site.Version); tag != "" {
			return tag, nil
		}
		wanted = "MOODLE_" + u.Site.Version.Branch + "_STABLE"
	}
	if !config.ValidRef(wanted) {
		return "", refusedSource(fmt.Sprintf("%q is no name of a branch or tag", wanted), "name one with --to, such as MOODLE_405_STABLE or v4.5.8")
	}
	for _, kind := range []string{"refs/tags/", "refs/heads/"} {
		if _, there := g.refs[kind+wanted]; there {
			return kind + wanted, nil
		}
	}
	return "", refusedSource("the git repository has no branch and no tag "+wanted, "name one that is there with --to or update.branch: git ls-remote --heads --tags ADDRESS")
}

// target is the name of what was fetched.
const target = "refs/mxp/target"

// fetch brings what is missing, and compares the commits of the checkout with it.
func (g *gitCode) fetch(ctx context.Context, u *update) error {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	arguments := []string{"fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--force"}
	if u.checkout == nil {
		arguments = append(arguments, "--depth=1")
	}
	if _, err := g.output(ctx, append(arguments, "origin", "+"+g.ref+":"+target)...); err != nil {
		return fmt.Errorf("fetch the new code: %w", err)
	}
	commit, err := g.line(ctx, "rev-parse", "--verify", target+"^{commit}")
	if err != nil {
		return fmt.Errorf("fetch the new code: %w", err)
	}
	g.commit, u.plan.Commit = commit, commit
	if g.linked, err = g.submodules(ctx, commit); err != nil || u.checkout == nil {
		return err
	}
	return g.compare(ctx, u)
}

// compare looks for commits of the checkout that the new code does not have.
func (g *gitCode) compare(ctx context.Context, u *update) error {
	live := u.checkout
	if len(live.local) > 0 {
		left, err := g.output(ctx, "rev-list", "--max-count=20", live.head, "^"+target)
		if err != nil {
			return err
		}
		if lost := strings.Fields(left); len(lost) > 0 {
			u.plan.problem("push them to a branch that you update from, or rebase them on it: git -C "+u.Site.Dir+" log --oneline "+live.head[:12]+" --not --remotes --tags",
				"%d commits of this host would be lost, which neither a remote nor %s has", len(live.local), g.words())
		}
	}
	for path, commit := range g.linked {
		if was, there := live.links[path]; !there {
			u.plan.problem("install it with --plugin, or update to another commit", "the new code has a submodule in %s, which is not fetched", path)
		} else if was != commit {
			u.plan.note("the submodule in %s stays as it is, though the new code names another commit of it (%s)", path, commit[:12])
		}
	}
	return nil
}

// write unpacks the commit, without the filters and attributes of any checkout.
func (g *gitCode) write(ctx context.Context, u *update, to *tar.Writer) error {
	reader, writer := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := g.stream(ctx, writer, "archive", "--format=tar", target)
		_ = writer.CloseWithError(err)
		done <- err
	}()
	w := &rewriter{to: to, like: u.staging.like, skip: func(name string) bool { _, linked := g.linked[name]; return linked }}
	err := w.tar(ctx, reader)
	if err == nil {
		err = copyWith(ctx, nowhere{}, reader) // padding behind the end mark
	}
	_ = reader.CloseWithError(errStopped)
	if failed := <-done; err == nil {
		err = failed
	}
	return err
}
